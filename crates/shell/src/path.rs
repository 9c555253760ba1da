//! Paths, made absolute and normalised by their letters alone.
//!
//! A canonical path is absolute without `.`, `..`, `//` or a final slash, or starts with `~` for the home of the target
//! login. Links are not followed: that is asked of the target by the protocol. Promises: a path that cannot be made
//! canonical (no directory known, a step above an unknown home, a view of the tree through `/proc`, the file of a process
//! substitution within it) is `None`.
//! Held by: the tests below and `fixtures/shell/programs.tsv`.

use crate::caps::{HOME, PIPE};

/// Whether a path does not depend on the directory.
pub(crate) fn is_rooted(text: &str) -> bool {
    text.starts_with('/') || text.starts_with(HOME)
}

/// The canonical path of `text` seen from `directory`.
pub(crate) fn resolve(directory: Option<&str>, text: &str) -> Option<String> {
    if text.is_empty() || text.contains(PIPE) {
        return None;
    }
    let mut home = false;
    let mut parts: Vec<&str> = Vec::new();
    let rest = if let Some(rest) = text.strip_prefix(HOME) {
        home = true;
        if !rest.is_empty() && !rest.starts_with('/') {
            return None;
        }
        rest
    } else if text.starts_with('/') {
        text
    } else {
        let from = directory?;
        let from = match from.strip_prefix('~') {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => {
                home = true;
                rest
            }
            _ if from.starts_with('/') => from,
            _ => return None,
        };
        parts.extend(from.split('/').filter(|part| !part.is_empty()));
        text
    };
    if rest.contains(HOME) {
        return None;
    }
    for part in rest.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                // Above a home whose path is not known lies something not known.
                if parts.pop().is_none() && home {
                    return None;
                }
            }
            name => parts.push(name),
        }
    }
    if !home && is_view(&parts) {
        return None;
    }
    Some(match (home, parts.is_empty()) {
        (true, true) => "~".to_owned(),
        (true, false) => format!("~/{}", parts.join("/")),
        (false, _) => format!("/{}", parts.join("/")),
    })
}

/// What stands below a process in `/proc` (its root, its directory, its open files) or in `/dev/fd`: another name of
/// something not told by the path.
fn is_view(parts: &[&str]) -> bool {
    match parts {
        ["proc", process, view, ..] => {
            matches!(*view, "root" | "cwd" | "fd" | "task" | "map_files" | "exe")
                && (matches!(*process, "self" | "thread-self") || process.bytes().all(|b| b.is_ascii_digit()))
        }
        ["dev", "fd", ..] => true,
        _ => false,
    }
}

/// `path` with the target login's home written as `~`, as patterns write it.
pub(crate) fn beside_home(path: String, home: Option<&str>) -> String {
    let Some(home) = home.filter(|home| home.len() > 1) else { return path };
    match path.strip_prefix(home) {
        Some("") => "~".to_owned(),
        Some(rest) if rest.starts_with('/') => format!("~{rest}"),
        _ => path,
    }
}

/// Whether removing or changing the tree at this canonical path takes everything of the target or of the login.
pub(crate) fn is_root(path: &str) -> bool {
    matches!(
        path,
        "/" | "~"
            | "/home"
            | "/etc"
            | "/usr"
            | "/var"
            | "/root"
            | "/boot"
            | "/lib"
            | "/bin"
            | "/sbin"
            | "/opt"
            | "/srv"
            | "/dev"
            | "/sys"
            | "/proc"
    )
}

/// The last part of a path.
pub(crate) fn base(path: &str) -> &str {
    path.trim_end_matches('/').rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_normalised_by_their_letters() {
        let at = |text| resolve(Some("/home/a/work"), text);
        assert_eq!(at("x").as_deref(), Some("/home/a/work/x"));
        assert_eq!(at("./../x//y/.").as_deref(), Some("/home/a/x/y"));
        assert_eq!(at("../../../../..").as_deref(), Some("/"));
        assert_eq!(at("/etc/../x").as_deref(), Some("/x"));
        assert_eq!(at(""), None);
        for view in ["root", "cwd", "fd"] {
            let path = ["/proc/self", view, "etc/shadow"].join("/");
            assert_eq!(resolve(Some("/home/a/work"), &path), None, "{view}");
        }
        assert_eq!(at("/proc/1/../self/cwd"), None);
        assert_eq!(at("/proc/cpuinfo").as_deref(), Some("/proc/cpuinfo"));
        assert_eq!(resolve(None, "x"), None);
        assert_eq!(resolve(Some("~/w"), "../y").as_deref(), Some("~/y"));
        assert_eq!(resolve(Some("~/w"), "../.."), None);
        assert_eq!(resolve(None, "\u{e000}/x").as_deref(), Some("~/x"));
        assert_eq!(resolve(Some("/"), "a\u{e000}"), None);
        assert_eq!(resolve(Some("/"), "a\u{e001}/../b"), None);
        assert_eq!(beside_home("/home/a/x".to_owned(), Some("/home/a")), "~/x");
        assert_eq!(beside_home("/home/ab".to_owned(), Some("/home/a")), "/home/ab");
    }
}
