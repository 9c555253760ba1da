//! What gives a protected member another name, and the nearest requests that do not.

use super::*;
use crate::api::testing::TestWords;
use crate::frame::Method;
use crate::path::Path;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};

fn renaming() -> Renaming {
    let names = ["ssn", "customer", "social-security", "Card No"].map(str::to_owned);
    Renaming { protected: Protected::new(&names).unwrap() }
}

fn is_in(query: &str, kind: &'static str, body: &str) -> bool {
    is_in_at("/orders", query, kind, body)
}

fn is_in_at(path: &str, query: &str, kind: &'static str, body: &str) -> bool {
    let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(kind))]);
    let (path, query) = (Path::read(path).unwrap(), Query::read(query).unwrap());
    let request = Request { method: Method::Post, path, query, headers, body: Bytes::copy_from_slice(body.as_bytes()) };
    let read = if kind == "application/json" && !body.is_empty() { json::read(body.as_bytes()).ok() } else { None };
    assert!(body.is_empty() || kind != "application/json" || read.is_some(), "{body}");
    renaming().is_in(&request, read.as_ref())
}

#[test]
fn a_query_string_renames_nothing_that_is_protected() {
    for (query, renames) in [
        ("select=x:ssn", true),
        ("select=id,x:ssn,name", true),
        ("select=x:SSN", true),
        ("select=x:%22ssn%22", true),
        ("select=%22my%20x%22:ssn", true),
        ("select=x:ssn::text", true),
        ("select=id,orders(id,x:ssn)", true),
        ("select=x:data-%3E%3Essn", true),
        ("select=ssn-%3E%3Elast", true),
        ("select=ssn-%3E0", true),
        ("select=ssn.max()", true),
        ("select=ssn::text.max()", true),
        ("select=x:customer(id)", true),
        ("select=x:social-security", true),
        ("select=x:%22card%20no%22", true),
        ("fields=x:ssn", true),
        ("select=max(ssn)", true),
        ("$compute=ssn%20as%20x&$select=x", true),
        ("$compute=ssn+as+x", true),
        ("$compute=concat(ssn,'a')%20as%20x", true),
        ("$compute=id%20as%20a,toupper(ssn)%20as%20x", true),
        ("$apply=aggregate(ssn%20with%20max%20as%20x)", true),
        ("query=%7Bcustomers%7Bx:%20ssn%7D%7D", true),
        ("query=%7Bx:ssn%7D", true),
        ("query=*%5B%5D%7B%22x%22:ssn%7D", true),
        ("x:ssn", true),
        ("q=select%20ssn%20x%20from%20c", true),
        ("source=%7B%22aggs%22:%7B%22x%22:%7B%22terms%22:%7B%22field%22:%22ssn%22%7D%7D%7D%7D", true),
        ("project=%7B%22x%22:%22ssn%22%7D", true),
        ("alias[x]=ssn&fields=x", true),
        ("alias%5Bx%5D=year(ssn)", true),
        ("aliases[x]=ssn", true),
        ("alias.x=ssn", true),
        ("alias[ssn]=x", true),
        ("deep[owner][_alias][x]=ssn", true),
        ("alias=%7B%22x%22:%22ssn%22%7D", true),
        ("select[x]=ssn", true),
        ("columns[0][column]=ssn&columns[0][as]=x", true),
        ("attributes[0][]=ssn&attributes[0][]=x", true),
        ("attributes[][]=ssn&attributes[][]=x", true),
        ("attributes[0][0]=ssn&attributes[0][1]=x", true),
        ("aggs[x][terms][field]=ssn", true),
        ("q=%7Bcustomers%7Bx:ssn%7D%7D", true),
        ("q=/*%20a%20*/select%20ssn%20x%20from%20c", true),
        ("q=%2Bselect%20ssn%20x%20from%20c", true),
        ("query=x:ssn", true),
        ("alias[ssn]=ssn", false),
        ("alias[x]=name", false),
        ("alias=work", false),
        ("q=octocat%20in:ssn", false),
        ("q=type:ssn", false),
        ("term=channel:ssn", false),
        ("where[ssn]=1&sort[0]=ssn", false),
        ("fields[]=ssn&fields[]=id", false),
        ("columns[0][data]=ssn&columns[0][name]=&order[0][column]=0", false),
        ("populate[customer][fields][0]=ssn", false),
        ("customer.ssn=eq.1", false),
        ("a[[]].=1&[=ssn&]=2&b.[0]..=ssn", false),
        ("email=a@b.c", false),
        ("ssn=eq.123", false),
        ("sort=ssn", false),
        ("sort=-ssn", false),
        ("sort=name:asc,ssn:desc", false),
        ("order=ssn.desc", false),
        ("fields=id,ssn", false),
        ("filter%5Bssn%5D=1", false),
        ("fields%5Borders%5D=id,ssn", false),
        ("select=id,ssn", false),
        ("select=ssn::text", false),
        ("select=x:id,ssn", false),
        ("select=data-%3E%3Essn", false),
        ("select=id,orders(id,ssn)", false),
        ("select=x:ssn-hash,id", false),
        ("select=x:ssns", false),
        ("fields=items(id,ssn),total", false),
        ("or=(ssn.eq.1,name.in.(a,b))", false),
        ("$filter=startswith(tolower(ssn),'1')", false),
        ("$select=id,ssn&$orderby=ssn%20desc", false),
        ("$expand=orders($select=ssn)", false),
        ("$compute=id%20as%20x,total%20as%20y&$select=ssn", false),
        ("$apply=groupby((ssn),aggregate($count%20as%20n))", false),
        ("filter=name:bob,ssn:123", false),
        ("q=name:bob+ssn:123", false),
        ("q=label:bug+ssn", false),
        ("next=https://shop.example/ssn", false),
        ("query=%7Borders(by:%20ssn)%7Bid%20ssn%7D%7D", false),
        ("ssn", false),
    ] {
        assert_eq!(is_in(query, "application/json", ""), renames, "{query}");
    }
}

#[test]
fn a_body_renames_nothing_that_is_protected() {
    for (body, renames) in [
        (r#"{"query":"{customer(id:7){ x: ssn }}"}"#, true),
        (r#"{"query":"{orders{ x :\n ssn }}"}"#, true),
        (r#"{"query":"{orders{ x: # why\n ssn }}"}"#, true),
        (r#"{"query":"{orders{ x:, ssn }}"}"#, true),
        (r#"{"query":"{orders(a:\"(\"){ x: ssn }}"}"#, true),
        (r#"{"query":"{orders(a:\"\"\" ( \\\"\"\" \"\"\"){ x: ssn }}"}"#, true),
        (r#"{"query":"query Q($a: Int) { c: customer(id: $a) { name } }"}"#, true),
        (r#"[{"query":"{id}"},{"query":"{ x: ssn }"}]"#, true),
        (r#"{"operation":"fragment F on Customer { x: ssn }"}"#, true),
        (r#"{"sql":"SELECT ssn AS x FROM c"}"#, true),
        (r#"{"sql":"select id, ssn x from c"}"#, true),
        (r#"{"sql":"select max(c.ssn) from c"}"#, true),
        (r#"{"sql":"select name from c union select ssn from c"}"#, true),
        (r#"{"sql":"with q(x) as (select ssn from c) select x from q"}"#, true),
        (r#"{"sql":"select x from upper(ssn) as x"}"#, true),
        (r#"{"sql":"insert into a values (1) returning ssn as x"}"#, true),
        (r#"{"select":["id","x:ssn"]}"#, true),
        (r#"{"select":{"x":"ssn"}}"#, true),
        (r#"{"columns":[{"column":"c.ssn","alias":"x"}]}"#, true),
        (r#"[{"$project":{"x":"$ssn"}}]"#, true),
        (r#"[{"$group":{"_id":"$customer.id"}}]"#, true),
        (r#"{"aggs":{"x":{"terms":{"field":"ssn.keyword"}}}}"#, true),
        (r#"{"script_fields":{"x":{"script":{"source":"doc['ssn'].value"}}}}"#, true),
        (r#"{"body":"{\"query\":\"{ x: ssn }\"}"}"#, true),
        (r#"{"query":{"alias":{"x":"ssn"},"fields":["x"]}}"#, true),
        (r#"{"alias":{"x":"ssn"}}"#, true),
        (r#"{"_alias":{"x":"lower(ssn)"}}"#, true),
        (r#"{"$rename":{"ssn":"x"}}"#, true),
        (r#"{"pipeline":[{"$project":{"x":{"$getField":"ssn"}}}]}"#, true),
        (r#"{"$set":{"x":{"$getField":{"field":"ssn","input":"$$ROOT"}}}}"#, true),
        (r#"{"select":{"x":{"field":"ssn"}}}"#, true),
        (r#"{"select":{"x":{"fn":"max","args":[{"column":"ssn"}]}}}"#, true),
        (r#"{"select":{"x":"ssn.keyword"}}"#, true),
        (r#"{"select":[{"x":"ssn"}]}"#, true),
        (r#"{"attributes":[["ssn","x"]]}"#, true),
        (r#"{"attributes":{"include":[[{"fn":"max","col":"ssn"},"x"]]}}"#, true),
        (r#"{"columns":[{"column":"upper(ssn)","alias":"x"}]}"#, true),
        (r#"{"columns":[{"type":"ssn","alias":"x"}]}"#, true),
        (r#"{"column":"ssn","alias":"c.ssn"}"#, true),
        (r#"{"calculate":"ssn + 1","as":"x"}"#, true),
        (r#"{"query":"{customers{profile(path: \"$.ssn\")}}"}"#, true),
        (r#"{"query":"{customers{profile(path # why\n : \"$.ssn\")}}"}"#, true),
        (r#"{"query":"query($p: String = \"ssn\"){customers{profile(path: $p)}}"}"#, true),
        (r#"{"query":"{customers{x:ssn, profile(path:\"$.name\")}}"}"#, true),
        (r#"{"first":"{first} {x: ssn}"}"#, true),
        (r#"{"alias":"work","kind":"ssn"}"#, false),
        (r#"{"contact":{"type":"ssn","value":"1","alias":"billing"}}"#, false),
        (r#"{"channel":"ssn","as":"html"}"#, false),
        (r#"{"aliases":["ssn","social"]}"#, false),
        (r#"{"aliases":[{"type":"ssn","value":"1"}]}"#, false),
        (r#"{"select":{"orders":["id","ssn"]}}"#, false),
        (r#"{"select":{"orders":{"orderBy":"ssn","fields":["id","ssn"]}}}"#, false),
        (r#"{"data":{"type":"customer","attributes":{"preferred":"ssn","note":"ssn: new"}}}"#, false),
        (r#"{"attributes":[{"Name":"ssn","Value":"1"}]}"#, false),
        (r#"{"pipeline":[{"$match":{"kind":"ssn"}},{"$sort":{"ssn":1}}]}"#, false),
        (r#"{"query":"{customers{profile(path: \"$.name\") ssn note(text: \"path: ssn\")}}"}"#, false),
        (r#"{"template":"{name}: ssn confirmed","text":"{{first_name}}: ssn us"}"#, false),
        (r#"{"note":"customer asked: ssn changed"}"#, false),
        (r#"{"note":"ssn as written","ssn":"123","customer":{"x":"ssn"}}"#, false),
        (r#"{"fields":{"description":"customer asked: ssn changed"}}"#, false),
        (r#"{"query":"{orders{ id, ssn y: name }}"}"#, false),
        (r#"{"query":"{orders(by: ssn, where: {x: ssn}){ id ssn }}"}"#, false),
        (r#"{"query":"{orders(a:\"x: ssn\"){ id ssn }}","variables":{"note":"x: ssn"}}"#, false),
        (r#"{"query":{"match":{"note":"asked: ssn"}},"sort":[{"field":"ssn"}],"_source":["ssn"]}"#, false),
        (r#"{"sql":"SELECT id, c.ssn FROM c WHERE lower(ssn) LIKE '1%' ORDER BY ssn"}"#, false),
        (r#"{"sql":"select distinct ssn, id as x from c as d where d.ssn = '1' limit 5"}"#, false),
        (r#"{"note":"With regards from the ssn office"}"#, false),
        (r#"{"select":["id","ssn"],"orderBy":"ssn"}"#, false),
        (r#"{"select":[{"field":"ssn"}]}"#, false),
        (r#"{"columns":[{"column":"ssn","alias":"ssn"},{"column":"id","alias":"x"}]}"#, false),
        (r#"{"price":"$5 for the ssn","path":"/ssn","op":"replace","value":"1"}"#, false),
        (r#"{"aggs":{"x":{"terms":{"field":"city"}}},"query":{"term":{"ssn":"1"}}}"#, false),
    ] {
        assert_eq!(is_in("", "application/json", body), renames, "{body}");
        assert_eq!(is_in("", "application/x-ndjson", &format!("{{\"index\":1}}\n{body}\n")), renames, "{body}");
        assert_eq!(renaming().is_said(body), renames, "{body}");
    }
}

#[test]
fn a_statement_renames_nothing_that_is_protected() {
    for (sql, renames) in [
        ("/* a */ select ssn x from c", true),
        ("/* /* */ a */ select ssn x from c", true),
        ("/*! select ssn x from c */", true),
        ("/*!50000 select */ ssn x from c", true),
        ("-- a\nselect ssn x from c", true),
        ("# a\nselect ssn x from c", true),
        (";(select ssn x from c)", true),
        ("explain analyze select ssn x from c", true),
        ("begin; select ssn x from c", true),
        ("begin; insert into a values (1) returning ssn x", true),
        ("set role a; select ssn x from c", true),
        ("insert into a values(1) returning ssn x", true),
        ("update c set a = 1 where id = 7 returning ssn x", true),
        ("delete from c output deleted.ssn x where id = 7", true),
        ("copy (select ssn x from c) to stdout", true),
        ("prepare p as select ssn x from c", true),
        ("declare k cursor for select ssn x from c", true),
        ("values ((select ssn from c limit 1))", true),
        ("create view v(x) as select ssn from c", true),
        ("execute 'select ssn x from c'", true),
        ("update c set note = ssn where id = 7", true),
        ("update c set ssn = 'a', note = ssn", true),
        ("insert into notes(text) select ssn from c", true),
        // What ends a list to one reader and not to another.
        ("select id /* from */, ssn x from c", true),
        ("select id -- from\n, ssn x from c", true),
        ("select id # from\n, ssn x from c", true),
        ("select id --from\n, ssn x from c", true),
        ("select 'from', ssn x from c", true),
        ("select \"from\" a, ssn x from c", true),
        ("select [from], ssn x from c", true),
        ("select '\\' from c', ssn x from c", true),
        ("select $a$ from $a$, ssn x from c", true),
        ("select [ssn] [x] from c", true),
        ("select ssn the, id from c", true),
        ("select top 5 ssn x from c", true),
        ("select binary ssn from c", true),
        ("select the ssn x from c; select ssn x from c", true),
        ("select upper(id) || ssn from c", true),
        ("-- a\nselect id, ssn from c", false),
        ("/* sent by orm */ SELECT c.\"ssn\", `id` FROM c WHERE ssn = '1'", false),
        ("select [ssn], [id] from [c]", false),
        ("select id as ssn, count(*) as n from c", false),
        ("select id from c where name = 'x' -- ssn as x\n", false),
        ("explain select ssn from c", false),
        ("update c set ssn = '1', name = 'a' where id = 7 returning id, ssn", false),
        ("insert into c(ssn) values ('1') returning id;", false),
        (
            "insert into c(id, ssn) values (1, '2') on conflict (id) do update set ssn = excluded.ssn returning id",
            false,
        ),
        ("delete from c where ssn = '1' returning id", false),
        ("delete from c where id in (select id from d where ssn = '1')", false),
        // People write so.
        ("Select the ssn you want from the list below", false),
        ("Select your ssn from our store, don't wait", false),
        ("select the ssn field from the menu #5", false),
        ("Update the ssn: call us", false),
        ("Set a reminder about the ssn", false),
        ("Where can I set ssn by default?", false),
    ] {
        for name in ["sql", "query", "statement", "text"] {
            let body = serde_json::json!({ name: sql }).to_string();
            assert_eq!(is_in("", "application/json", &body), renames, "{name}: {sql}");
        }
    }
}

#[test]
fn a_search_engine_sorts_and_completes_by_nothing_that_is_protected() {
    for (path, query, body, returns) in [
        ("/c/_search", "", r#"{"sort":["customer.ssn"]}"#, true),
        ("/c/_search", "", r#"{"sort":[{"ssn":{"order":"asc"}}]}"#, true),
        ("/c/_search", "sort=customer.ssn:asc", "", true),
        ("/c/_search", "source=%7B%22sort%22:%22ssn%22%7D", "", true),
        ("/c/_search", "", r#"{"suggest":{"x":{"prefix":"1","completion":{"field":"ssn"}}}}"#, true),
        ("/c/_search", "", r#"{"query":{"function_score":{"field_value_factor":{"field":"ssn"}}}}"#, true),
        ("/_search/template", "", r#"{"source":"{\"sort\":[\"ssn\"]}"}"#, true),
        ("/c/_async_search", "", r#"{"sort":"ssn"}"#, true),
        ("/c/_terms_enum", "", r#"{"field":"ssn","string":"1"}"#, true),
        ("/c/_graph/explore", "", r#"{"vertices":[{"field":"ssn"}]}"#, true),
        ("/c/_search", "", r#"{"query":{"term":{"ssn":"1"}},"sort":["_score"],"_source":["ssn"]}"#, false),
        ("/c/_search", "", r#"{"_source":false,"fields":["customer.ssn"],"docvalue_fields":["ssn.keyword"]}"#, false),
        ("/c/_search", "q=ssn:1&sort=date:desc", "", false),
        ("/c/_terms_enum", "", r#"{"field":"city","string":"1"}"#, false),
        ("/orders", "sort=ssn", r#"{"sort":["ssn"],"field":"ssn","suggest":"ssn"}"#, false),
        ("/search", "sort=ssn", r#"{"sort":["ssn"]}"#, false),
    ] {
        assert_eq!(is_in_at(path, query, "application/json", body), returns, "{path}?{query} {body}");
    }
    let lines = "{\"index\":\"c\"}\n{\"sort\":[\"ssn\"]}\n";
    assert!(is_in_at("/_msearch", "", "application/x-ndjson", lines));
    assert!(!is_in_at("/_bulk", "", "application/x-ndjson", lines));
}

#[test]
fn names_are_one_in_letters_of_either_case() {
    let protected = Protected::new(&["Straße".to_owned(), "ssn".to_owned()]).unwrap();
    assert!(protected.is_one("c.STRASSE") && protected.is_one("SSN.keyword") && !protected.is_one("ssns"));
    assert!(!protected.is_new("STRASSE") && !protected.is_new("Ssn"));
    assert!(protected.is_new(" ssn") && protected.is_new("c.ssn"));
    assert!(protected.said("x:STRASSE").is_some());
}

#[test]
fn a_form_renames_nothing_that_is_protected() {
    for (form, renames) in [
        ("query=%7Bx:+ssn%7D", true),
        ("sql=select+ssn+as+x+from+c", true),
        ("select=x:ssn", true),
        ("q=select+ssn+x+from+c", true),
        ("data=%7B%22query%22:%22%7Bx:ssn%7D%22%7D", true),
        ("alias[x]=ssn", true),
        ("columns[0][column]=ssn&columns[0][alias]=x", true),
        ("contact[type]=ssn&contact[alias]=work", false),
        ("note=customer+asked:+ssn+changed", false),
        ("select=id,ssn&note=ssn+as+it+was", false),
        ("ssn=123&a+ssn=x", false),
    ] {
        assert_eq!(is_in("", "application/x-www-form-urlencoded", form), renames, "{form}");
    }
}

#[test]
fn masks_that_name_no_member_refuse_nothing() {
    assert!(Renaming::under(&TestWords::binding()).is_some());
    for words in [TestWords::default(), TestWords { binds: true, ..TestWords::default() }] {
        assert!(Renaming::under(&words).is_none());
    }
    assert!(Protected::new(&[]).is_none() && Protected::new(&[String::new()]).is_none());
}

#[test]
fn any_text_is_read_to_its_end() {
    let begun =
        ["select 'ssn from", "select /*ssn from", "/*/*ssn select from", "select [ssn from", "--ssn", "update ssn=set"];
    for text in begun {
        renaming().is_said(text);
        sql::renames(&renaming().protected, text);
    }
    let odd = ["ssn", "\u{130}ssn: ssn\u{130}", "\"ssn", "#", "\"\"\"ssn", "(((ssn", ")))ssn as x", "ssn-", "ssn->"];
    for text in odd {
        renaming().is_said(text);
        let protected = renaming().protected;
        for kind in [Place::Prose, Place::Query, Place::Selected, Place::Listed, Place::Named, Place::Computed] {
            Nodes::new(&protected, &[]).in_text(text, kind, true);
        }
    }
}
