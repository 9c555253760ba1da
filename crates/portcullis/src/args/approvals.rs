//! The words of `portcullis approvals`.

use super::{GatewayArgs, ListArgs};
use clap::{Args, Subcommand};

#[derive(Debug, Args)]
pub(crate) struct ApprovalsArgs {
    #[command(subcommand)]
    pub(crate) command: ApprovalsCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ApprovalsCommand {
    /// List the requests for approval.
    List {
        #[command(flatten)]
        list: ListArgs,
        /// Those that were decided, too.
        #[arg(long)]
        all: bool,
    },
    /// Show one: the whole command and what would be done.
    Show(ApprovalArgs),
    /// Say yes. Needs an interactive login of the last five minutes: `portcullis login`.
    Approve {
        #[command(flatten)]
        approval: ApprovalArgs,
        /// And let the same principal do the same operations there for so long, as in `20m`: a grant, where the rule lets
        /// one be given.
        #[arg(long = "for", value_name = "TIME")]
        grant: Option<String>,
    },
    /// Say no.
    Reject(ApprovalArgs),
    /// List the grants that are in force.
    Grants {
        #[command(flatten)]
        list: ListArgs,
        /// Those that have ended, too.
        #[arg(long)]
        all: bool,
    },
    /// End a grant: what it allowed is held again, at once.
    Revoke {
        #[command(flatten)]
        gateway: GatewayArgs,
        /// The grant's id.
        grant: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ApprovalArgs {
    #[command(flatten)]
    pub(crate) gateway: GatewayArgs,
    /// The request's id.
    pub(crate) id: String,
    /// The answer as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}
