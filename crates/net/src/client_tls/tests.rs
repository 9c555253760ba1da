use super::*;
use crate::{Authority, Certificates};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

struct Site {
    dir: tempfile::TempDir,
    certificates: Certificates,
}

impl Site {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let certificates = Authority::new(dir.path(), &[], &[]).open().unwrap().certificates;
        Self { dir, certificates }
    }

    fn roots(&self) -> Roots {
        Roots::File(self.dir.path().join("ca.pem"))
    }

    /// Both sides of a handshake, and a byte each way.
    async fn meet(&self, client: &ClientTls, name: &str, alpn: &[&[u8]]) -> Result<(Io, Io)> {
        let server = self.certificates.server(alpn).unwrap();
        let (near, far) = tokio::io::duplex(1 << 16);
        let serve = async {
            let mut io = server.accept(Io::memory(far)).await?;
            io.write_all(b"s").await?;
            io.flush().await?;
            io.read_u8().await?;
            std::io::Result::Ok(io)
        };
        let connect = async {
            let mut io = client.connect(Io::memory(near), name).await?;
            let exchange = async {
                io.write_all(b"c").await?;
                io.flush().await?;
                io.read_u8().await
            };
            exchange.await.map_err(|source| Error::Handshake { name: name.into(), source })?;
            Ok(io)
        };
        let (served, connected) = tokio::join!(serve, connect);
        connected.map(|connected| (connected, served.unwrap()))
    }
}

#[tokio::test]
async fn verify_full_wants_chain_and_name() {
    let (site, other) = (Site::new(), Site::new());
    let full = ClientTls::new(VerifyMode::VerifyFull, &site.roots(), &[]).unwrap();
    for name in ["localhost", "127.0.0.1", "::1"] {
        let (near, far) = site.meet(&full, name, &[]).await.unwrap();
        assert!(near.is_tls() && far.is_tls());
        assert_eq!(near.tls().unwrap().version, "TLSv1.3");
        assert_eq!(near.peer_certificate(), Some(site.certificates.leaf().as_slice()));
        assert_eq!(near.server_end_point().map(|hash| hash.len()), Some(32));
        assert_eq!(far.server_end_point(), near.server_end_point(), "both sides bind to the same");
    }
    assert!(site.meet(&full, "db.example.com", &[]).await.is_err(), "another name");
    assert!(other.meet(&full, "localhost", &[]).await.is_err(), "another authority");
}

#[tokio::test]
async fn verify_ca_wants_the_chain_only_and_require_nothing() {
    let (site, other) = (Site::new(), Site::new());
    let ca = ClientTls::new(VerifyMode::VerifyCa, &site.roots(), &[]).unwrap();
    assert!(site.meet(&ca, "db.example.com", &[]).await.is_ok());
    assert!(other.meet(&ca, "localhost", &[]).await.is_err());
    let require = ClientTls::new(VerifyMode::Require, &Roots::Native, &[]).unwrap();
    assert!(site.meet(&require, "db.example.com", &[]).await.is_ok());
    assert!(other.meet(&require, "db.example.com", &[]).await.is_ok());
}

#[tokio::test]
async fn disabled_never_handshakes() {
    let disabled = ClientTls::disabled();
    assert_eq!(disabled.mode(), VerifyMode::Disable);
    let (near, _far) = tokio::io::duplex(64);
    assert!(matches!(disabled.connect(Io::memory(near), "localhost").await, Err(Error::Settings(_))));
    let full = ClientTls::new(VerifyMode::Disable, &Roots::Native, &[]).unwrap();
    assert_eq!(full.mode(), VerifyMode::Disable);
}

#[tokio::test]
async fn application_protocols_must_meet() {
    let site = Site::new();
    let client = |alpn: &[&[u8]]| ClientTls::new(VerifyMode::VerifyFull, &site.roots(), alpn).unwrap();
    let (near, far) = site.meet(&client(&[b"x", b"postgresql"]), "localhost", &[b"postgresql"]).await.unwrap();
    assert_eq!(near.tls().unwrap().alpn.as_deref(), Some(&b"postgresql"[..]));
    assert_eq!(far.tls().unwrap().alpn.as_deref(), Some(&b"postgresql"[..]));
    assert_eq!(far.tls().unwrap().server_name.as_deref(), Some("localhost"));
    assert!(site.meet(&client(&[b"http/1.1"]), "localhost", &[b"postgresql"]).await.is_err());
    let (near, _) = site.meet(&client(&[]), "localhost", &[b"postgresql"]).await.unwrap();
    assert_eq!(near.tls().unwrap().alpn, None);
}

#[tokio::test]
async fn sessions_are_resumed() {
    let site = Site::new();
    let client = ClientTls::new(VerifyMode::VerifyFull, &site.roots(), &[]).unwrap();
    let server = site.certificates.server(&[]).unwrap();
    let mut resumed = Vec::new();
    for _ in 0..2 {
        let (near, far) = tokio::io::duplex(1 << 16);
        let serve = async {
            let mut io = server.accept(Io::memory(far)).await.unwrap();
            io.write_all(b"s").await.unwrap();
            io.flush().await.unwrap();
        };
        let connect = async {
            let mut io = client.connect(Io::memory(near), "localhost").await.unwrap();
            io.read_u8().await.unwrap();
            io.tls().unwrap().resumed
        };
        resumed.push(tokio::join!(serve, connect).1);
    }
    assert_eq!(resumed, [false, true]);
}

#[test]
fn a_key_of_another_certificate_is_refused_at_load() {
    let (site, other) = (Site::new(), Site::new());
    let (certificate, key) = (site.dir.path().join("gateway.pem"), other.dir.path().join("gateway.key"));
    assert!(Certificates::from_files(&certificate, &key).is_err());
    let before = site.certificates.leaf();
    assert!(site.certificates.reload(&certificate, &key).is_err());
    assert_eq!(site.certificates.leaf(), before, "the old one stays");
    let missing = site.dir.path().join("none.pem");
    let error = Certificates::from_files(&missing, &key).unwrap_err().to_string();
    assert!(error.contains("none.pem"), "{error}");
    assert!(ClientTls::new(VerifyMode::VerifyCa, &Roots::File(key), &[]).is_err(), "a key is no authority");
}

#[tokio::test]
async fn a_connection_stays_bound_to_the_certificate_it_began_with() {
    let (site, next) = (Site::new(), Site::new());
    let any = ClientTls::new(VerifyMode::Require, &Roots::Native, &[]).unwrap();
    let (near, far) = site.meet(&any, "localhost", &[]).await.unwrap();
    let bound = near.server_end_point();
    site.certificates.reload(&next.dir.path().join("gateway.pem"), &next.dir.path().join("gateway.key")).unwrap();
    assert!(bound.is_some() && far.server_end_point() == bound, "the renewal came after the handshake");
    let (near, far) = site.meet(&any, "localhost", &[]).await.unwrap();
    assert!(near.server_end_point() != bound && near.server_end_point() == far.server_end_point());
}
