//! The words of `portcullis token`.

use super::{GatewayArgs, ListArgs};
use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(crate) struct TokenArgs {
    #[command(subcommand)]
    pub(crate) command: TokenCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token and print it, once.
    Create {
        #[command(flatten)]
        gateway: GatewayArgs,
        /// Whom it is for.
        #[arg(long)]
        user: String,
        /// A group it carries; may be repeated.
        #[arg(long = "group", value_name = "GROUP")]
        groups: Vec<String>,
        /// How long it is valid, as in `30m` or `8h`; at most 24 hours.
        #[arg(long, default_value = "1h", value_name = "TIME")]
        ttl: String,
        /// The token with its id and expiry as JSON.
        #[arg(long)]
        json: bool,
    },
    /// List the tokens that are valid.
    List(ListArgs),
    /// End a token at once.
    Revoke {
        #[command(flatten)]
        gateway: GatewayArgs,
        /// The token's id.
        id: String,
    },
    /// End what an identity provider gave somebody until now, in open sessions too.
    RevokeLogins {
        #[command(flatten)]
        gateway: GatewayArgs,
        /// The provider.
        #[arg(long, value_name = "URL")]
        issuer: String,
        /// Who, as the provider calls them (`sub`).
        #[arg(long)]
        subject: String,
    },
    /// Ask an identity provider for a program's own short-lived token, for the program's client id and secret, and print
    /// it. The secret is read from standard input unless an option says where it is; it is never an argument.
    Exchange(ExchangeArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ExchangeArgs {
    /// The address of the gateway's console listener: it says whether it accepts the provider, and then the token.
    #[arg(long, value_name = "HOST:PORT", env = "PORTCULLIS_GATEWAY")]
    pub(crate) gateway: Option<String>,
    /// The certificate authority of that gateway (PEM).
    #[arg(long, value_name = "FILE", env = "PORTCULLIS_CA")]
    pub(crate) ca: Option<PathBuf>,
    /// The certificate authority of the identity provider (PEM), where the system does not know it.
    #[arg(long, value_name = "FILE")]
    pub(crate) provider_ca: Option<PathBuf>,
    /// The provider, which is shown the secret: no gateway says which.
    #[arg(long, value_name = "URL", env = "PORTCULLIS_ISSUER")]
    pub(crate) issuer: String,
    /// The program, as the provider knows it.
    #[arg(long, value_name = "ID")]
    pub(crate) client_id: String,
    /// The file that its secret is in.
    #[arg(long, value_name = "FILE", conflicts_with = "secret_env")]
    pub(crate) secret_file: Option<PathBuf>,
    /// The environment variable that its secret is in.
    #[arg(long, value_name = "NAME")]
    pub(crate) secret_env: Option<String>,
    /// A scope to ask for; may be repeated.
    #[arg(long = "scope", value_name = "SCOPE")]
    pub(crate) scopes: Vec<String>,
    /// Whom the token is for, where the provider wants to be told: sent as `audience`.
    #[arg(long)]
    pub(crate) audience: Option<String>,
    /// The same for providers that call it `resource` (RFC 8707).
    #[arg(long, value_name = "URI")]
    pub(crate) resource: Option<String>,
    /// Write the token to this file, mode 0600, instead of printing it.
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}
