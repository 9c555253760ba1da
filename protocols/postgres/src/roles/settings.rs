//! The settings of a role, as statements that give another role the same.
//!
//! Promises: the server stores for the other role what it stores for this one. A value is written as one literal, which is
//! stored as it is and tried by nobody, so one that means something in another database only is copied as well. The few
//! settings whose literals the server quotes are lists: each of their names is written by itself, as `pg_dump` does.
//! What the gateway chooses itself at every login is left out.
//!
//! Does not promise that the login may give it: what it may not, the server refuses.
//! Held by: the tests below, and `tests/it/roles.rs` against servers of versions 14 to 18.

use super::{identifier, literal};
use portcullis_sql::{Unquoted, listed_names};

/// Settings that the gateway chooses itself at every login.
const PINNED: [&str; 3] = ["client_encoding", "standard_conforming_strings", "backslash_quote"];

/// Lists of names, which the server folds to lower case where they are not quoted. With [`LIBRARIES`] these are all of
/// `GUC_LIST_QUOTE` in the server's source that can be set for a role; an extension can make none.
const NAMES: [&str; 2] = ["search_path", "temp_tablespaces"];

/// Lists of files.
const LIBRARIES: [&str; 2] = ["local_preload_libraries", "session_preload_libraries"];

/// The statement that gives a role, by its quoted name, this line of `setconfig`; an empty one where it is not to have it,
/// and nothing where the line cannot be read.
pub(super) fn copied(role: &str, database: Option<&str>, line: &str) -> Option<String> {
    let (setting, value) = line.split_once('=')?;
    let is_in = |names: &[&str]| names.iter().any(|name| name.eq_ignore_ascii_case(setting));
    if is_in(&PINNED) {
        return Some(String::new());
    }
    let value = if is_in(&NAMES) || is_in(&LIBRARIES) {
        let unquoted = if is_in(&NAMES) { Unquoted::Folded } else { Unquoted::AsWritten };
        let listed = listed_names(value, unquoted)?;
        let listed: Vec<String> = listed.iter().map(|name| literal(name)).collect();
        // A list of nothing has no other form.
        if listed.is_empty() { literal("") } else { listed.join(", ") }
    } else {
        literal(value)
    };
    let place = database.map(|name| format!(" IN DATABASE {}", identifier(name))).unwrap_or_default();
    Some(format!("ALTER ROLE {role}{place} SET {} = {value};", identifier(setting)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_one_literal_and_a_list_one_for_each_name() {
        for (line, set) in [
            ("default_text_search_config=public.mine", "\"default_text_search_config\" = 'public.mine'"),
            ("DateStyle=ISO, DMY", "\"DateStyle\" = 'ISO, DMY'"),
            ("my.x=a=b'c", "\"my.x\" = 'a=b''c'"),
            ("role=the \"app\"", "\"role\" = 'the \"app\"'"),
            ("search_path=\"$user\", \"own space\",Public", "\"search_path\" = '$user', 'own space', 'public'"),
            ("Search_Path= \"a\"\"b, c\"\t,\nd ", "\"Search_Path\" = 'a\"b, c', 'd'"),
            ("search_path=\"\"", "\"search_path\" = ''"),
            ("search_path=", "\"search_path\" = ''"),
            ("local_preload_libraries=Its, \"o'ther\"", "\"local_preload_libraries\" = 'Its', 'o''ther'"),
            ("session_preload_libraries=x", "\"session_preload_libraries\" = 'x'"),
            ("temp_tablespaces=\"\", Fast", "\"temp_tablespaces\" = '', 'fast'"),
        ] {
            let here = copied("\"r\"", None, line).unwrap();
            assert_eq!(here, format!("ALTER ROLE \"r\" SET {set};"));
            let there = copied("\"r\"", Some("d\"b"), line).unwrap();
            assert_eq!(there, format!("ALTER ROLE \"r\" IN DATABASE \"d\"\"b\" SET {set};"));
        }
        assert_eq!(copied("\"r\"", None, "Client_Encoding=LATIN1").as_deref(), Some(""));
    }

    #[test]
    fn what_no_server_writes_is_not_guessed_at() {
        for line in
            ["", "x", "search_path=\"a", "search_path=a,", "search_path=,a", "search_path=a b", "search_path=\"a\"b"]
        {
            assert_eq!(copied("\"r\"", None, line), None, "{line}");
        }
    }
}
