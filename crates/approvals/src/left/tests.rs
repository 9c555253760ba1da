use super::*;
use crate::tests::{House, one_dba, terms};
use crate::{ClaimError, Request};
use portcullis_model::{Parameter, Text};
use std::time::Duration;

impl House {
    /// A request for a command of this text, by one requester, opened and not left.
    async fn opened(&self, text: &str, terms: Vec<HoldTerms>) -> Request {
        let mut request = self.request(terms);
        request.requester = crate::tests::principal("agent-7", portcullis_model::CredentialKind::Oidc);
        request.binding = Binding::of(&request.requester, &[("text", text.as_bytes())]);
        self.desk.open(request.clone()).await.unwrap();
        request
    }

    async fn left_open(&self, text: &str) -> Request {
        let request = self.opened(text, one_dba()).await;
        assert_eq!(self.desk.leave(request.id).await.unwrap().id(), request.id);
        request
    }

    async fn found(&self, request: &Request) -> Option<Left> {
        self.desk.left(&request.requester, &request.binding, &request.terms).await.unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_left_is_found_claimed_once_and_then_gone() {
    let house = House::build().await;
    let waiting = house.opened("a", one_dba()).await;
    assert_eq!(house.found(&waiting).await, None, "somebody waits for it");
    let request = house.left_open("a").await;
    assert!(matches!(house.found(&request).await, Some(Left::Open { id, .. }) if id == request.id));
    house.yes(request.id, "dana", &["dba"]).await.unwrap();
    let by = vec!["dana".into()];
    assert_eq!(house.found(&request).await, Some(Left::Approved { id: request.id, by }));
    let claims = (0..8).map(|_| house.desk.claim(request.id, &request.binding));
    let claims = futures_util::future::join_all(claims).await;
    assert_eq!(claims.iter().filter(|claim| claim.is_ok()).count(), 1);
    assert!(
        claims.iter().flat_map(|claim| claim.as_ref().err()).all(|error| matches!(error, ClaimError::NotApproved(_)))
    );
    assert_eq!(house.found(&request).await, None);
    // The next of the kind takes its place.
    let next = house.left_open("a").await;
    assert_eq!(house.found(&request).await.unwrap().id(), next.id);
}

#[tokio::test(start_paused = true)]
async fn a_no_is_found_until_the_time_is_over_and_what_lapsed_is_not() {
    let house = House::build().await;
    let request = house.left_open("a").await;
    house.no(request.id, "dana", &["dba"]).await.unwrap();
    assert_eq!(house.found(&request).await, Some(Left::Rejected { id: request.id, by: "dana".into() }));
    let open = house.left_open("b").await;
    let approved = house.left_open("c").await;
    let withdrawn = house.left_open("d").await;
    house.desk.withdraw(withdrawn.id).await.unwrap();
    assert_eq!(house.found(&withdrawn).await, None);
    tokio::time::advance(Duration::from_secs(599)).await;
    assert!(house.found(&request).await.is_some() && house.found(&open).await.is_some());
    house.yes(approved.id, "dana", &["dba"]).await.unwrap();
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!((house.found(&request).await, house.found(&open).await), (None, None));
    // Approved in the last second, it is good for five minutes.
    tokio::time::advance(Duration::from_secs(298)).await;
    assert!(matches!(house.found(&approved).await, Some(Left::Approved { .. })));
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(house.found(&approved).await, None);
}

#[tokio::test]
async fn it_is_found_by_its_binding_its_terms_its_requester_and_its_run_only() {
    let house = House::build().await;
    let request = house.left_open("a").await;
    let other = Binding::of(&request.requester, &[("text", b"b")]);
    assert_eq!(house.desk.left(&request.requester, &other, &request.terms).await.unwrap(), None);
    let stranger = crate::tests::principal("agent-8", portcullis_model::CredentialKind::Oidc);
    assert_eq!(house.desk.left(&stranger, &request.binding, &request.terms).await.unwrap(), None);
    let stricter = [vec![terms("schema-change", &["dba"], 2)], [one_dba(), vec![terms("more", &["dba"], 1)]].concat()];
    for stricter in stricter {
        assert_eq!(house.desk.left(&request.requester, &request.binding, &stricter).await.unwrap(), None);
    }
    let elsewhere = house.run("two").await;
    assert_eq!(elsewhere.left(&request.requester, &request.binding, &request.terms).await.unwrap(), None);
    assert!(matches!(elsewhere.leave(request.id).await, Err(LeaveError::NotOurs)));
    assert!(house.found(&request).await.is_some());
    // What is left under other terms takes the place of the first, which nobody could use any more.
    let newer = house.opened("a", vec![terms("schema-change", &["dba"], 2)]).await;
    assert_eq!(house.desk.leave(newer.id).await.unwrap().id(), newer.id);
    assert_eq!((house.state(request.id).await, house.found(&request).await), (State::Withdrawn, None));
    assert_eq!(house.found(&newer).await.unwrap().id(), newer.id);
}

#[tokio::test]
async fn of_several_left_at_once_for_one_binding_one_stays() {
    let house = House::build().await;
    let mut requests = Vec::new();
    for _ in 0..6 {
        requests.push(house.opened("a", one_dba()).await);
    }
    let left = futures_util::future::join_all(requests.iter().map(|request| house.desk.leave(request.id))).await;
    let ids: Vec<_> = left.into_iter().map(|left| left.unwrap().id()).collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    for request in &requests {
        let expected = if request.id == ids[0] { State::Open } else { State::Withdrawn };
        assert_eq!(house.state(request.id).await, expected);
    }
}

#[tokio::test]
async fn a_principal_leaves_so_many_and_no_more_until_some_are_over() {
    let house = House::build().await;
    let mut first = None;
    for number in 0..LEFT {
        first.get_or_insert(house.left_open(&number.to_string()).await);
    }
    let more = house.opened("one more", one_dba()).await;
    assert!(matches!(house.desk.leave(more.id).await, Err(LeaveError::TooMany)));
    assert_eq!(house.found(&more).await, None);
    // One that is there already is no other.
    let again = house.opened("7", one_dba()).await;
    assert_ne!(house.desk.leave(again.id).await.unwrap().id(), again.id);
    let first = first.unwrap();
    house.desk.withdraw(first.id).await.unwrap();
    house.desk.leave(more.id).await.unwrap();
    assert!(house.found(&more).await.is_some());
}

impl House {
    /// A long request that was left.
    async fn left_long(&self, text: &str) -> Request {
        let mut request = self.request(one_dba());
        request.requester = crate::tests::principal("agent-7", portcullis_model::CredentialKind::Oidc);
        request.binding = Binding::of(&request.requester, &[("text", text.as_bytes())]);
        request.text = Text::plain(format!("{text} {}", "x".repeat(4000)));
        request.parameters = vec![Parameter { type_name: "text".into(), value: Some("y".repeat(4000).into()) }];
        request.operations = ["read table public.a", "read table public.b"].map(Into::into).to_vec();
        self.desk.open(request.clone()).await.unwrap();
        assert_eq!(self.desk.leave(request.id).await.unwrap().id(), request.id);
        request
    }

    /// Whether all of it is kept; `None` where nothing is.
    async fn is_whole(&self, request: &Request) -> Option<bool> {
        let kept = match self.desk.show(request.id).await {
            Ok(shown) => shown.request,
            Err(DeskError::NotFound(_)) => return None,
            Err(error) => panic!("{error}"),
        };
        let short = kept.text.as_str().len() <= 256 && kept.parameters.is_empty() && kept.operations.len() == 1;
        assert!(short || kept == *request);
        Some(!short)
    }

    async fn expire(&self) {
        self.table().expire((self.clock)()).await.unwrap();
    }
}

/// Whoever leaves requests to lapse, again and again, fills nothing.
#[tokio::test(start_paused = true)]
async fn little_is_kept_of_what_was_left_and_lapsed_once_others_take_its_place() {
    let house = House::build().await;
    let mut before = Vec::new();
    for number in 0..LEFT {
        before.push(house.left_long(&number.to_string()).await);
    }
    // People decided about these; the rest lapses.
    house.yes(before[1].id, "dana", &["dba"]).await.unwrap();
    house.no(before[2].id, "dana", &["dba"]).await.unwrap();
    tokio::time::advance(Duration::from_secs(600)).await;
    let _replaces = house.left_long("0").await;
    assert_eq!(house.is_whole(&before[0]).await, Some(false));
    assert_eq!(house.is_whole(&before[3]).await, Some(true), "nothing took its place");
    let _more = house.left_long("one more").await;
    for (number, request) in before.iter().enumerate() {
        assert_eq!(house.is_whole(request).await, Some(matches!(number, 1 | 2)), "{number}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_nobody_decided_is_kept_for_an_hour_and_what_is_gone_can_be_asked_again() {
    let house = House::build().await;
    let lapsed = house.left_long("a").await;
    let decided = [house.left_long("b").await, house.left_long("c").await];
    house.yes(decided[0].id, "dana", &["dba"]).await.unwrap();
    house.no(decided[1].id, "dana", &["dba"]).await.unwrap();
    tokio::time::advance(Duration::from_secs(600 + 3000)).await;
    house.left_long("d").await;
    tokio::time::advance(Duration::from_secs(599)).await;
    house.expire().await;
    assert_eq!(house.is_whole(&lapsed).await, Some(true));
    tokio::time::advance(Duration::from_secs(1)).await;
    house.expire().await;
    assert_eq!(house.is_whole(&lapsed).await, None);
    assert_eq!((house.is_whole(&decided[0]).await, house.is_whole(&decided[1]).await), (Some(true), Some(true)));
    // The list of what was left still names it.
    assert_eq!(house.is_whole(&house.left_long("a").await).await, Some(true));
}
