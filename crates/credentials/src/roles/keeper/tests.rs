//! One step of the keeper at a time.

use super::*;
use crate::roles::{Admin, Ran, RoleServer};
use crate::{Credentials, Method, SecretSource, SessionRole, Source};
use std::sync::Weak;

const VALID: Duration = Duration::from_secs(3600);

/// A server that extends all but one, or none.
struct Extends {
    all_fail: bool,
}

impl RoleServer for Extends {
    fn run(&self, _: Admin, errand: Errand) -> Ran<'_> {
        let Errand::Extend { names, valid } = errand else { panic!("{errand:?}") };
        assert_eq!((names.len(), valid), (2, VALID));
        let left = names.into_iter().filter(|name| &**name == "locked").chain(["never told".into()]);
        let ran = if self.all_fail { Err(RoleFault("down".to_owned())) } else { Ok(left.collect()) };
        Box::pin(async move { ran })
    }
}

#[tokio::test]
async fn one_that_is_not_extended_is_tried_soon_and_keeps_no_other() {
    let shop = Name::canonical("shop");
    for (all_fail, after) in [(false, VALID * 2 / 3), (true, VALID / 12)] {
        // A variable that every test process has.
        let password = SecretSource::Env("PATH".into());
        let how = SessionRole { by: "maker".into(), password, valid: VALID, prefix: "pc_0_".into() };
        let source = Source { username: "app".into(), logins: [].into(), method: Method::SessionRole(how) };
        let credentials = Credentials::new([(shop.clone(), source)].into());
        let (_credentials, keeper) = credentials.with_roles(Arc::new(Extends { all_fail }));
        let mut keeper = keeper.unwrap();
        for id in ["locked", "other"] {
            let (lasts, held) = (Duration::ZERO, Weak::new());
            keeper.hear(Told::Begun { id: id.into(), path: "shop".into(), lasts, renewable: true, held });
        }
        let before = Instant::now();
        keeper.extend(&shop).await;
        let now = Instant::now();
        let live = &keeper.wards[&shop].live;
        assert_eq!(live.until(now + VALID, 9).len(), 2, "what was never told of is not kept");
        for (name, after) in [("locked", VALID / 12), ("other", after)] {
            let due = |at| live.until(at, 9).iter().any(|due| &**due == name);
            assert!(due(now + after) && !due(before + after - Duration::from_secs(1)), "{name}: {all_fail}");
        }
    }
}
