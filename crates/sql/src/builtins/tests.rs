//! The ledgers: every name that a real server has is classed, once, and nothing is pure without a reason to be.

use super::*;
use std::collections::BTreeSet;

const NAMES: &str = include_str!("../../data/pg_proc_names.tsv");

fn table(text: &'static str, columns: usize) -> Vec<Vec<&'static str>> {
    let rows: Vec<Vec<_>> = rows(text).map(Iterator::collect).collect();
    for row in &rows {
        assert_eq!(row.len(), columns, "{row:?}");
    }
    assert!(text.starts_with("# "), "a table says where its facts come from");
    assert!(
        ["14.23", "15.18", "16.14", "17.10", "18.4"].iter().all(|server| text.contains(server)),
        "from which servers"
    );
    rows
}

fn no_repeats<'a>(keys: impl Iterator<Item = (&'a str, &'a str)>) {
    let mut seen = BTreeSet::new();
    for key in keys {
        assert!(seen.insert(key), "{key:?} has two rows");
    }
}

#[test]
fn every_function_of_the_servers_has_exactly_one_class() {
    let functions = table(FUNCTIONS, 4);
    no_repeats(functions.iter().map(|row| (row[0], row[1])));
    let classed: BTreeSet<_> = functions.iter().filter(|row| row[0] == "pg_catalog").map(|row| row[1]).collect();
    let known: BTreeSet<_> = table(NAMES, 3).iter().map(|row| row[0]).collect();
    assert_eq!(classed.difference(&known).collect::<Vec<_>>(), Vec::<&&str>::new(), "no server has these");
    assert_eq!(known.difference(&classed).collect::<Vec<_>>(), Vec::<&&str>::new(), "these have no class");
    assert!(known.len() > 2800);
    for row in &functions {
        assert!(function_in(row[0], row[1]).is_some(), "{row:?}");
    }
}

#[test]
fn a_volatile_function_is_pure_only_with_a_reason_and_every_other_class_has_one() {
    let functions = table(FUNCTIONS, 4);
    let notes: HashMap<_, _> =
        functions.iter().filter(|row| row[0] == "pg_catalog").map(|row| (row[1], (row[2], row[3]))).collect();
    for row in table(NAMES, 3) {
        let (class, note) = notes[row[0]];
        assert!(class == "pure" && !row[2].contains('v') || !note.is_empty(), "{} needs a note", row[0]);
    }
}

/// Names that reach files, run SQL, move sequences, wait, signal or reveal: a change of the table cannot lose them.
#[test]
fn what_must_never_be_pure_is_not() {
    for (class, names) in [
        (
            FunctionClass::RunsSql,
            "query_to_xml query_to_xmlschema query_to_xml_and_xmlschema ts_stat ts_rewrite cursor_to_xml \
             database_to_xml schema_to_xml",
        ),
        (FunctionClass::ReadsByName, "table_to_xml current_setting currval lastval pg_sequence_last_value lo_get"),
        (
            FunctionClass::ServerFiles,
            "pg_read_file pg_read_binary_file pg_ls_dir pg_ls_waldir pg_ls_logdir pg_stat_file lo_import lo_export \
             pg_current_logfile",
        ),
        (
            FunctionClass::ChangesState,
            "nextval setval set_config pg_notify lo_unlink lo_from_bytea pg_advisory_lock pg_terminate_backend \
             pg_cancel_backend pg_reload_conf pg_sleep pg_sleep_for pg_stat_reset pg_export_snapshot pg_switch_wal \
             pg_logical_emit_message pg_create_logical_replication_slot txid_current pg_logical_slot_get_changes",
        ),
        (
            FunctionClass::Sensitive,
            "pg_stat_get_activity pg_stat_get_backend_activity pg_hba_file_rules pg_lock_status \
             pg_logical_slot_peek_changes pg_show_all_file_settings pg_mcv_list_items",
        ),
    ] {
        for name in names.split_whitespace() {
            assert_eq!(function(name), Some(class), "{name}");
        }
    }
    for row in table(NAMES, 3) {
        let name = row[0];
        let suspicious = ["pg_ls_", "pg_read_", "lo_", "pg_stat_get_", "pg_stat_reset", "binary_upgrade_", "RI_FKey_"]
            .iter()
            .any(|prefix| name.starts_with(prefix))
            || name.contains("advisory")
            || name.contains("replication")
            || name.ends_with("_recv") && name != "void_recv"
            || name.ends_with("sel") && row[2].contains('s');
        assert!(!suspicious || function(name) != Some(FunctionClass::Pure), "{name}");
    }
}

#[test]
fn every_function_that_may_tell_sessions_apart_has_a_row_and_every_row_is_of_a_function() {
    let sights = table(SIGHTS, 3);
    no_repeats(sights.iter().map(|row| (row[0], "")));
    let words: HashMap<_, _> = sights.iter().map(|row| (row[0], row[1])).collect();
    for row in &sights {
        assert!(function(row[0]).is_some() && !row[2].is_empty(), "{row:?}");
        assert_eq!(sight(row[0]).is_some(), row[1] != "same", "{row:?}");
        assert!(["session", "clock", "chance", "same"].contains(&row[1]), "{row:?}");
    }
    for row in table(NAMES, 3) {
        let name = row[0];
        let volatile = row[2].contains('v') && function(name) == Some(FunctionClass::Pure);
        assert!(!volatile || words.contains_key(name), "{name} is volatile");
        let suspicious =
            ["inet_client", "inet_server", "current_setting", "pg_backend_pid", "temp_schema", "_if_assigned"]
                .iter()
                .any(|part| name.contains(part));
        assert!(!suspicious || sight(name) == Some(Sight::Session), "{name}");
    }
    assert_eq!((sight("now"), sight("random"), sight("lower")), (Some(Sight::Clock), Some(Sight::Chance), None));
}

#[test]
fn a_change_of_how_values_are_written_may_change_what_is_found() {
    for name in ["DateStyle", "timezone", "bytea_output", "default_text_search_config", "transform_null_equals", "a.b"]
    {
        assert!(!keeps_values(name), "{name}");
    }
    for name in ["search_path", "client_encoding", "statement_timeout", "application_name", "JIT"] {
        assert!(keeps_values(name), "{name}");
    }
}

/// What the grammar itself turns into calls: EXTRACT, OVERLAY, POSITION, LIKE … ESCAPE, AT TIME ZONE and their kin.
#[test]
fn calls_that_the_grammar_makes_are_pure() {
    for name in "btrim extract is_normalized json_object like_escape ltrim normalize overlaps overlay \
                 pg_collation_for position rtrim similar_to_escape substring system_user timezone xmlexists date_part"
        .split_whitespace()
    {
        assert_eq!(function(name), Some(FunctionClass::Pure), "{name}");
    }
    for name in "now random gen_random_uuid clock_timestamp generate_series count sum string_agg row_number lag \
                 format_type pg_get_viewdef has_table_privilege obj_description pg_table_is_visible to_regclass \
                 pg_table_size pg_is_in_recovery version current_schemas"
        .split_whitespace()
    {
        assert_eq!(function(name), Some(FunctionClass::Pure), "{name}");
    }
    assert_eq!(function("no_such_function"), None);
    assert_eq!(function("PG_SLEEP"), None, "names are canonical");
    assert_eq!(function("_pg_expandarray"), None);
    assert_eq!(function_in("information_schema", "_pg_expandarray"), Some(FunctionClass::Pure));
}

#[test]
fn every_built_in_operator_is_a_pure_function() {
    let operators = table(OPERATORS, 2);
    no_repeats(operators.iter().map(|row| (row[0], row[1])));
    for row in operators {
        assert_eq!(function(row[1]), Some(FunctionClass::Pure), "{row:?}");
        assert!(is_builtin_operator(row[0]));
    }
    for operator in ["=", "<>", "~~*", "->>", "#>>", "@?", "||", "<->", "#"] {
        assert!(is_builtin_operator(operator), "{operator}");
    }
    assert!(!is_builtin_operator("=="));
}

#[test]
fn catalogue_relations_that_can_hold_values_or_secrets_are_sensitive() {
    let relations = table(RELATIONS, 5);
    no_repeats(relations.iter().map(|row| (row[0], row[1])));
    for row in &relations {
        assert_ne!(catalogue_relation(row[0], row[1]), CatalogueRelation::Unknown, "{row:?}");
        assert!(!row[4].is_empty(), "{row:?} has no reason");
        let watched = row[1].starts_with("pg_stat") && row[1] != "pg_statistic_ext" || row[1].contains("user_mapping");
        assert!(!watched || matches!(row[2], "sensitive" | "counts"), "{row:?}");
    }
    for name in "pg_statistic pg_stats pg_stats_ext pg_statistic_ext_data pg_authid pg_shadow pg_user_mapping \
                 pg_user_mappings pg_subscription pg_stat_activity pg_largeobject pg_prepared_statements pg_cursors \
                 pg_hba_file_rules pg_file_settings pg_replication_slots pg_db_role_setting pg_sequences \
                 pg_stat_replication pg_stat_subscription pg_stat_wal_receiver"
        .split_whitespace()
    {
        assert_eq!(catalogue_relation("pg_catalog", name), CatalogueRelation::Sensitive, "{name}");
    }
    for name in "pg_locks pg_stat_user_tables pg_stat_database pg_statio_all_indexes pg_stat_progress_vacuum".split(' ')
    {
        assert_eq!(catalogue_relation("pg_catalog", name), CatalogueRelation::Counts, "{name}");
    }
    assert_eq!(catalogue_relation("information_schema", "user_mapping_options"), CatalogueRelation::Sensitive);
    assert_eq!(catalogue_relation("pg_catalog", "pg_no_such"), CatalogueRelation::Unknown);
    assert_eq!(catalogue_relation("pg_toast", "pg_toast_2619"), CatalogueRelation::Unknown);
    assert_eq!(catalogue_relation("public", "pg_class"), CatalogueRelation::Unknown);
}

/// What `psql`'s backslash commands, JDBC's metadata and `pg_dump` of an ordinary database read.
#[test]
fn what_clients_need_to_describe_objects_is_free() {
    for name in "pg_class pg_attribute pg_attrdef pg_namespace pg_type pg_proc pg_index pg_constraint pg_roles \
                 pg_database pg_settings pg_tables pg_views pg_indexes pg_inherits pg_partitioned_table pg_trigger \
                 pg_rewrite pg_policy pg_description pg_shdescription pg_am pg_opclass pg_opfamily pg_operator pg_cast \
                 pg_collation pg_enum pg_range pg_language pg_extension pg_tablespace pg_auth_members pg_depend \
                 pg_sequence pg_publication pg_publication_rel pg_statistic_ext pg_foreign_table pg_foreign_server \
                 pg_event_trigger pg_default_acl pg_ts_config pg_largeobject_metadata pg_parameter_acl pg_seclabel \
                 pg_transform pg_conversion pg_aggregate pg_user pg_group pg_matviews pg_timezone_names"
        .split_whitespace()
    {
        assert_eq!(catalogue_relation("pg_catalog", name), CatalogueRelation::Describes, "{name}");
    }
    for name in "tables columns table_constraints key_column_usage schemata views routines referential_constraints"
        .split_whitespace()
    {
        assert_eq!(catalogue_relation("information_schema", name), CatalogueRelation::Describes, "{name}");
    }
}

#[test]
fn settings_are_a_closed_list() {
    let settings = table(SETTINGS, 4);
    no_repeats(settings.iter().map(|row| (row[0], "")));
    for row in &settings {
        assert_eq!(row[0], row[0].to_ascii_lowercase());
        assert!(setting_class(row[0]) != SettingClass::Other && !row[3].is_empty(), "{row:?}");
    }
    assert_eq!(setting_class("DateStyle"), SettingClass::Presentation);
    assert_eq!(setting_class("Search_Path"), SettingClass::SearchPath);
    assert_eq!(setting_class("CLIENT_ENCODING"), SettingClass::Pinned);
    for name in "role session_authorization session_replication_role work_mem transform_null_equals array_nulls \
                 synchronous_commit local_preload_libraries dynamic_library_path my.key log_statement lc_messages \
                 lo_compat_privileges allow_system_table_mods default_transaction_read_onlyx enable_seqscan \
                 enable_sort plan_cache_mode geqo"
        .split_whitespace()
    {
        assert_eq!(setting_class(name), SettingClass::Other, "{name}");
    }
}

#[test]
fn settings_with_secrets_are_not_shown() {
    for name in ["app.key", "primary_conninfo", "Primary_ConnInfo", "restore_command", "ssl_passphrase_command"] {
        assert!(!may_be_shown(name), "{name}");
    }
    for name in ["work_mem", "search_path", "TimeZone", "transaction_isolation", "server_version", "all"] {
        assert!(may_be_shown(name), "{name}");
    }
}

/// What fails for some value of a type that is not plain, found by trying.
#[test]
fn what_looks_into_values_is_not_told_to_take_every_type() {
    for name in "= -> ->> #> #>> && @> <@ @@ age avg bit_and bit_or ceil ceiling date_part date_trunc floor \
                 json_strip_nulls jsonb_agg jsonb_build_array jsonb_build_object jsonb_object_agg justify_days \
                 justify_hours justify_interval max min round stddev sum to_jsonb variance"
        .split_whitespace()
    {
        assert!(!flows(name).any_type, "{name}");
    }
}

#[test]
fn pinned_settings_take_only_the_value_that_text_is_read_by() {
    for (name, value) in [
        ("client_encoding", "UTF8"),
        ("client_encoding", "utf-8"),
        ("Client_Encoding", "Unicode"),
        ("standard_conforming_strings", "on"),
        ("standard_conforming_strings", "TRUE"),
        ("backslash_quote", "safe_encoding"),
    ] {
        assert!(pinned_value_ok(name, value), "{name} {value}");
    }
    for (name, value) in [
        ("client_encoding", "SJIS"),
        ("client_encoding", "SQL_ASCII"),
        ("client_encoding", ""),
        ("standard_conforming_strings", "off"),
        ("backslash_quote", "on"),
        ("work_mem", "4MB"),
    ] {
        assert!(!pinned_value_ok(name, value), "{name} {value}");
    }
}

#[test]
fn types_are_named_as_the_catalogue_names_them() {
    let types = table(TYPES, 3);
    no_repeats(types.iter().map(|row| (row[0], row[1])));
    for name in ["int4", "_int4", "text", "bpchar", "char", "regclass", "jsonb", "int8multirange", "name", "void"] {
        assert!(is_builtin_type(name), "{name}");
    }
    for name in ["integer", "pg_class", "_pg_class", "sql_identifier", "citext", "hstore"] {
        assert!(!is_builtin_type(name), "{name}");
    }
    assert!(is_builtin_type_in("information_schema", "sql_identifier"));
}

#[test]
fn what_flows_through_a_function_is_told_of_functions_that_there_are() {
    let flows_of = table(FLOWS, 5);
    no_repeats(flows_of.iter().map(|row| ("pg_catalog", row[0])));
    for row in &flows_of {
        assert!(function(row[0]).is_some() || is_builtin_operator(row[0]), "{row:?}");
        assert!(BY_FLOW.contains_key(row[0]), "{row:?} does not parse");
        assert!(["-", "given", "stored"].contains(&row[1]), "{row:?}");
        assert_eq!(row[3] != "-", flows(row[0]).rows.is_some(), "{row:?}");
        assert_eq!(row[4] == "any", flows(row[0]).any_type, "{row:?}");
        assert!(row[4] == "-" || row[4] == "any" && row[2] != "-", "{row:?}");
    }
    for name in "query_to_xml table_to_xml database_to_xml cursor_to_xml lo_get loread pg_read_file current_setting \
                 pg_stat_get_activity pg_stat_get_backend_activity pg_logical_slot_peek_changes pg_mcv_list_items"
        .split_whitespace()
    {
        assert_eq!(flows(name).result, None, "{name} returns what is stored");
    }
}

#[test]
fn arguments_that_raise_no_error_are_told_by_place() {
    let holds = |word| {
        let safe = Safe::of(word).unwrap();
        (0..4).map(|at| safe.holds(at)).collect::<Vec<_>>()
    };
    assert_eq!(holds("-"), [false; 4]);
    assert_eq!(holds("*"), [true; 4]);
    assert_eq!(holds("1"), [true, false, false, false]);
    assert_eq!(holds("2+"), [false, true, true, true]);
    assert_eq!(holds("even"), [false, true, false, true]);
    assert!(Safe::of("2+").unwrap().holds(1000) && !Safe::of("2").unwrap().holds(1000));
    assert_eq!(Safe::of("0"), None);
    for name in ["/", "+", "-", "*", "power", "sqrt", "ln", "to_date", "to_number", "chr", "setval", "%"] {
        assert!(!flows(name).safe.holds(0), "{name} can fail");
    }
}
