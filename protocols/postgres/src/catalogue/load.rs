//! One load: log in, ask everything in one transaction, build.
//!
//! Held by: `tests/it/catalogue.rs`.

use super::build::Builder;
use super::queries::ALL;
use crate::asking::{Asking, Part};
use crate::error::Result;
use crate::login::backend::Target;
use crate::message::DecodeError;
use portcullis_model::Catalogue;

/// All results together, in bytes: far beyond any schema that people keep.
const MOST: usize = 512 << 20;

/// Loads the catalogue of the target's database.
pub(super) async fn load(target: &Target, epoch: u64) -> Result<Catalogue> {
    let mut asking = Asking::open(target, Vec::new(), MOST).await?;
    let loaded = ask(&mut asking, epoch).await;
    asking.close(None).await;
    loaded
}

async fn ask(asking: &mut Asking, epoch: u64) -> Result<Catalogue> {
    let mut text = String::from("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY;");
    for query in ALL {
        text.push_str(query);
        text.push(';');
    }
    text.push_str("COMMIT");
    let mut builder = Builder::default();
    // The query whose rows come is the one before.
    let mut begun = 0_usize;
    let taken = asking.query(&text, |part| {
        match part {
            Part::Result => begun += 1,
            Part::Row(row) => {
                let cells: Vec<Option<&[u8]>> = row.cells().collect::<std::result::Result<_, _>>()?;
                let cells = cells.into_iter().map(|cell| cell.map_or(Ok(""), std::str::from_utf8));
                let cells: Vec<&str> = cells.collect::<std::result::Result<_, _>>().map_err(|_| DecodeError::Text)?;
                let query = begun.checked_sub(1).and_then(|query| ALL.get(query));
                builder.row(query.copied().unwrap_or_default(), &cells);
            }
            Part::Parameters(_) => {}
        }
        Ok(())
    });
    taken.await?;
    Ok(builder.finish(epoch))
}
