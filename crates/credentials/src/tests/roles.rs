//! Roles of sessions: what is asked of a server and when, over a server that is a list of names.

use super::*;
use crate::roles::{Admin, Errand, Ran};
use arc_swap::ArcSwap;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::sleep;

/// A server that has roles, of which some are in use, and that may fail.
#[derive(Default)]
struct Listed {
    roles: ArcSwap<BTreeSet<Arc<str>>>,
    busy: ArcSwap<BTreeSet<Arc<str>>>,
    asked: ArcSwap<Vec<String>>,
    fails: AtomicBool,
    /// Makes the role, and says that it did not.
    lies: AtomicBool,
    drops: AtomicU64,
}

impl Listed {
    fn roles(&self) -> Vec<Arc<str>> {
        self.roles.load().iter().cloned().collect()
    }

    fn count(&self, what: &str) -> usize {
        self.asked.load().iter().filter(|asked| asked.starts_with(what)).count()
    }

    async fn errand(&self, admin: Admin, errand: Errand) -> Result<Vec<Arc<str>>, RoleFault> {
        assert_eq!(
            (admin.connection.as_str(), &*admin.username, admin.password.expose_secret()),
            ("shop", "maker", "m")
        );
        let line = format!("{errand:?}");
        self.asked.rcu(|asked| [asked.to_vec(), vec![line.clone()]].concat());
        if self.fails.load(Ordering::Relaxed) {
            return Err(RoleFault("down".to_owned()));
        }
        match errand {
            Errand::Make(role) => {
                assert_eq!((&*role.acts_as, role.password.expose_secret().len()), ("app", 64));
                self.roles.rcu(|roles| roles.iter().cloned().chain([Arc::clone(&role.name)]).collect::<BTreeSet<_>>());
                if self.lies.load(Ordering::Relaxed) { Err(RoleFault("broken off".to_owned())) } else { Ok(Vec::new()) }
            }
            Errand::Extend { .. } => Ok(Vec::new()),
            Errand::Drop { names, acts_as } => {
                assert_eq!(&*acts_as, "app");
                self.drops.fetch_add(1, Ordering::Relaxed);
                let busy = self.busy.load_full();
                let gone: Vec<_> = names.iter().filter(|name| !busy.contains(*name)).cloned().collect();
                self.roles
                    .rcu(|roles| roles.iter().filter(|name| !gone.contains(name)).cloned().collect::<BTreeSet<_>>());
                Ok(names.into_iter().filter(|name| busy.contains(name)).collect())
            }
            Errand::Find { prefix } => {
                assert_eq!(&*prefix, "pc_0_");
                // One that lies: it names all that it has.
                Ok(self.roles())
            }
        }
    }
}

struct Way(Arc<Listed>);

impl RoleServer for Way {
    fn run(&self, admin: Admin, errand: Errand) -> Ran<'_> {
        Box::pin(self.0.errand(admin, errand))
    }
}

/// A gateway with this server behind it, and what ends it.
struct Gateway {
    credentials: Credentials,
    stop: Option<oneshot::Sender<()>>,
    kept: tokio::task::JoinHandle<()>,
    _dir: tempfile::TempDir,
}

fn sources(valid: Duration) -> (tempfile::TempDir, Credentials) {
    let (dir, path) = file(b"m");
    let how = SessionRole { by: "maker".into(), password: SecretSource::File(path), valid, prefix: "pc_0_".into() };
    (dir, with(Method::SessionRole(how)))
}

fn gateway(server: &Arc<Listed>) -> Gateway {
    gateway_valid(server, Duration::from_secs(3600))
}

fn gateway_valid(server: &Arc<Listed>, valid: Duration) -> Gateway {
    let (dir, credentials) = sources(valid);
    let (credentials, keeper) = credentials.with_roles(Arc::new(Way(Arc::clone(server))));
    let (stop, stopped) = oneshot::channel::<()>();
    #[expect(clippy::disallowed_methods, reason = "a test")]
    let kept = tokio::spawn(keeper.unwrap().keep(async move { drop(stopped.await) }));
    Gateway { credentials, stop: Some(stop), kept, _dir: dir }
}

impl Gateway {
    async fn stop(mut self) {
        self.stop.take().unwrap().send(()).unwrap();
        self.kept.await.unwrap();
    }
}

#[tokio::test]
async fn a_role_is_made_for_each_lease_and_dropped_with_it() {
    let server = Arc::new(Listed::default());
    let gateway = gateway(&server);
    let (one, other) = (lease(&gateway.credentials).await.unwrap(), lease(&gateway.credentials).await.unwrap());
    assert!(one.username.starts_with("pc_0_") && one.username.len() == 5 + 24, "{}", one.username);
    assert_ne!(one.username, other.username);
    assert_ne!(secret(&one), secret(&other));
    assert_eq!(server.roles().len(), 2);
    let written = server.asked.load().concat();
    for lease in [&one, &other] {
        assert!(!written.contains(secret(lease).unwrap()) && !format!("{lease:?}").contains(secret(lease).unwrap()));
    }
    drop(one);
    eventually("dropped", || server.roles() == [Arc::clone(&other.username)]).await;
    let name = Arc::clone(&other.username);
    // The last one is dropped at the end.
    let held = other;
    gateway.stop().await;
    assert!(!server.roles().contains(&name));
    drop(held);
}

/// Until this holds, with patience for a busy machine.
async fn eventually(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..1000 {
        if holds() {
            return;
        }
        sleep(Duration::from_millis(20)).await;
    }
    panic!("{what}: not within 20 s");
}

#[tokio::test]
async fn one_in_use_or_a_server_that_is_away_is_tried_again() {
    let server = Arc::new(Listed::default());
    let gateway = gateway(&server);
    let one = lease(&gateway.credentials).await.unwrap();
    server.busy.store(Arc::new([Arc::clone(&one.username)].into()));
    drop(one);
    eventually("tried again", || server.drops.load(Ordering::Relaxed) >= 3).await;
    // Another one does not wait behind it.
    drop(lease(&gateway.credentials).await.unwrap());
    eventually("the other is gone", || server.roles().len() == 1).await;
    server.fails.store(true, Ordering::Relaxed);
    server.busy.store(Arc::default());
    let asked = server.count("Drop");
    eventually("it is asked", || server.count("Drop") > asked).await;
    assert_eq!(server.roles().len(), 1);
    server.fails.store(false, Ordering::Relaxed);
    eventually("gone when it can be", || server.roles().is_empty()).await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_role_is_extended_while_its_session_lives() {
    let server = Arc::new(Listed::default());
    let gateway = gateway_valid(&server, Duration::from_secs(1));
    let one = lease(&gateway.credentials).await.unwrap();
    eventually("twice", || server.count("Extend") >= 2).await;
    server.fails.store(true, Ordering::Relaxed);
    let asked = server.count("Extend");
    eventually("also after a failure", || server.count("Extend") >= asked + 2).await;
    server.fails.store(false, Ordering::Relaxed);
    drop(one);
    eventually("dropped", || server.roles().is_empty()).await;
    let asked = server.count("Extend");
    sleep(Duration::from_secs(2)).await;
    assert_eq!(server.count("Extend"), asked);
    gateway.stop().await;
}

#[tokio::test]
async fn what_was_left_is_found_and_what_is_somebody_elses_is_not() {
    let server = Arc::new(Listed::default());
    server.roles.store(Arc::new(["pc_0_left".into(), "pc_1_other".into(), "app".into()].into()));
    server.fails.store(true, Ordering::Relaxed);
    let gateway = gateway(&server);
    eventually("looked for again", || server.count("Find") >= 2).await;
    assert_eq!(server.roles().len(), 3);
    server.fails.store(false, Ordering::Relaxed);
    let others = ["app".into(), "pc_1_other".into()] as [Arc<str>; 2];
    eventually("as soon as it can be asked", || server.roles() == others).await;
    // One whose making seemed to fail is dropped as well.
    server.lies.store(true, Ordering::Relaxed);
    assert!(lease(&gateway.credentials).await.unwrap_err().to_string().contains("broken off"));
    eventually("dropped though it never was", || server.roles() == others).await;
    gateway.stop().await;
    assert_eq!(server.roles(), others);
}

#[tokio::test]
async fn one_that_a_session_has_is_not_found_for_left() {
    let server = Arc::new(Listed::default());
    let (_dir, credentials) = sources(Duration::from_secs(3600));
    let (credentials, keeper) = credentials.with_roles(Arc::new(Way(Arc::clone(&server))));
    // Made before the keeper runs: it is there when the first look is.
    let one = lease(&credentials).await.unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let keeping = keeper.unwrap().keep(async move { drop(stopped.await) });
    let looked = async {
        eventually("looked", || server.count("Find") == 1).await;
        sleep(Duration::from_millis(500)).await;
        assert!(server.roles().contains(&one.username));
        drop(stop);
    };
    tokio::join!(keeping, looked);
    assert!(server.roles().is_empty());
}

#[tokio::test]
async fn a_check_makes_one_and_drops_it_and_nobody_makes_one_without_a_keeper() {
    let server = Arc::new(Listed::default());
    let (_dir, credentials) = sources(Duration::from_secs(3600));
    assert!(lease(&credentials).await.is_err(), "nothing runs errands");
    let (credentials, keeper) = credentials.with_roles(Arc::new(Way(Arc::clone(&server))));
    assert!(credentials.problems().await.is_empty());
    assert_eq!((server.count("Make"), server.count("Drop")), (1, 1));
    assert!(server.roles().is_empty());
    server.fails.store(true, Ordering::Relaxed);
    let problems = credentials.problems().await;
    assert!(problems[0].1.to_string().contains("down") && problems.len() == 1, "{problems:?}");
    drop(keeper);
    server.fails.store(false, Ordering::Relaxed);
    assert!(lease(&credentials).await.unwrap_err().to_string().contains("wait to be kept"));
    assert!(server.roles().is_empty());
}

/// Two servers, of which one answers nothing any more.
#[derive(Default)]
struct Two {
    hangs: AtomicBool,
    near: Arc<Listed>,
    far: Arc<Listed>,
}

impl RoleServer for Two {
    fn run(&self, admin: Admin, errand: Errand) -> Ran<'_> {
        let far = admin.connection.as_str() == "far";
        if far && self.hangs.load(Ordering::Relaxed) {
            self.far.drops.fetch_add(1, Ordering::Relaxed);
            return Box::pin(std::future::pending());
        }
        let admin = Admin { connection: Name::canonical("shop"), ..admin };
        Box::pin(if far { self.far.errand(admin, errand) } else { self.near.errand(admin, errand) })
    }
}

fn two(server: &Arc<Two>) -> (tempfile::TempDir, Credentials, RoleKeeper) {
    let (dir, path) = file(b"m");
    let source = || {
        let valid = Duration::from_secs(3600);
        let password = SecretSource::File(path.clone());
        let how = SessionRole { by: "maker".into(), password, valid, prefix: "pc_0_".into() };
        Source { username: "app".into(), logins: [].into(), method: Method::SessionRole(how) }
    };
    let sources = ["far", "near"].map(|connection| (Name::canonical(connection), source()));
    let (credentials, keeper) = Credentials::new(sources.into()).with_roles(Arc::clone(server) as Arc<dyn RoleServer>);
    (dir, credentials, keeper.unwrap())
}

async fn lease_on(credentials: &Credentials, connection: &str) -> Result<Lease, CredentialError> {
    credentials.lease(&Name::canonical(connection), None, &principal()).await
}

#[tokio::test]
async fn a_server_that_hangs_keeps_nobody_from_another() {
    let server = Arc::new(Two { hangs: true.into(), ..Two::default() });
    let (_dir, credentials, _keeper) = two(&server);
    let credentials = Arc::new(credentials);
    let mut stuck = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let credentials = Arc::clone(&credentials);
        stuck.spawn(async move { lease_on(&credentials, "far").await.is_ok() });
    }
    eventually("as many wait there as may", || server.far.drops.load(Ordering::Relaxed) == 8).await;
    lease_on(&credentials, "near").await.unwrap();
    assert!(stuck.try_join_next().is_none(), "they still wait");
}

#[tokio::test]
async fn a_server_that_hangs_at_the_end_keeps_no_role_on_another() {
    let server = Arc::new(Two::default());
    let (_dir, credentials, keeper) = two(&server);
    let (stop, stopped) = oneshot::channel::<()>();
    let keeping = keeper.keep(async move { drop(stopped.await) });
    let ended = async {
        let held = (lease_on(&credentials, "far").await.unwrap(), lease_on(&credentials, "near").await.unwrap());
        eventually("looked", || server.near.count("Find") + server.far.count("Find") == 2).await;
        server.hangs.store(true, Ordering::Relaxed);
        drop(stop);
        eventually("dropped", || server.near.roles().is_empty()).await;
        assert_eq!(server.far.roles().len(), 1);
        drop(held);
    };
    tokio::select! {
        () = keeping => panic!("it does not wait for the other one"),
        () = ended => {}
    }
}
