//! `portcullis connections` and `portcullis whoami`.

use crate::args::ListArgs;
use crate::client::Client;
use crate::command::token::text;
use crate::error::Failure;
use crate::table;
use hyper::Method;
use serde_json::Value;

pub(crate) async fn list(args: &ListArgs) -> Result<(), Failure> {
    let client = Client::open(&args.gateway).await?;
    let connections: Vec<Value> = client.json(Method::GET, "/api/v1/connections", None).await?;
    if args.json {
        connections.iter().for_each(|connection| println!("{connection}"));
        return Ok(());
    }
    let rows: Vec<Vec<String>> = connections
        .iter()
        .map(|one| ["name", "protocol", "database"].map(|key| text(one, key).to_owned()).to_vec())
        .collect();
    print!("{}", table::render(&["NAME", "PROTOCOL", "DATABASE"], &rows));
    Ok(())
}

pub(crate) async fn whoami(args: &ListArgs) -> Result<(), Failure> {
    let client = Client::open(&args.gateway).await?;
    let who: Value = client.json(Method::GET, "/api/v1/whoami", None).await?;
    if args.json {
        println!("{who}");
        return Ok(());
    }
    let listed = |key: &str| -> String {
        let values = who.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
        values.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
    };
    println!("{} (issuer {})", text(&who, "user"), text(&who, "issuer"));
    println!("groups: {}", listed("groups"));
    println!("roles:  {}", listed("roles"));
    Ok(())
}
