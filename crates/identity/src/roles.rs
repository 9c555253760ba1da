//! Which groups may use the console and the API, and as what (DESIGN 4, `identity.roles`).
//!
//! Promises: whoever is in no listed group has no role; the local administrator is administrator and auditor and never
//! approver, since nobody at that socket proved which person they are. Held by: the tests below.

use portcullis_model::{CredentialKind, Principal};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What somebody may do at the console and the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Tokens, policy, live sessions.
    Admin,
    /// Reads the record.
    Auditor,
    /// Sees and decides requests for approval, as far as each rule lets them.
    Approver,
}

/// Groups to roles.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roles {
    /// Groups of administrators.
    pub admin: BTreeSet<Arc<str>>,
    /// Groups of auditors.
    pub auditor: BTreeSet<Arc<str>>,
    /// Groups of approvers.
    pub approver: BTreeSet<Arc<str>>,
}

impl Roles {
    /// Whether the principal has the role.
    #[must_use]
    pub fn has(&self, principal: &Principal, role: Role) -> bool {
        if principal.credential == CredentialKind::LocalAdmin {
            return role != Role::Approver;
        }
        let groups = match role {
            Role::Admin => &self.admin,
            Role::Auditor => &self.auditor,
            Role::Approver => &self.approver,
        };
        !groups.is_disjoint(&principal.groups)
    }

    /// Every role that the principal has.
    #[must_use]
    pub fn of(&self, principal: &Principal) -> BTreeSet<Role> {
        [Role::Admin, Role::Auditor, Role::Approver].into_iter().filter(|role| self.has(principal, *role)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local_admin;

    #[test]
    fn groups_give_roles_and_the_local_administrator_never_approves() {
        let roles = Roles {
            admin: [Arc::from("platform")].into(),
            auditor: [Arc::from("audit")].into(),
            approver: [Arc::from("dba")].into(),
        };
        let admin = local_admin(Some("root"));
        assert_eq!(roles.of(&admin), [Role::Admin, Role::Auditor].into());
        let mut person = Principal { credential: CredentialKind::Oidc, ..admin };
        assert!(roles.of(&person).is_empty());
        person.groups = [Arc::from("dba"), Arc::from("audit")].into();
        assert_eq!(roles.of(&person), [Role::Auditor, Role::Approver].into());
        assert!(Roles::default().of(&person).is_empty());
    }
}
