//! COPY data to the client: masked and recorded on its way.
//!
//! Promises: data of a COPY that may hold protected values leaves only through a rewriter that knows the COPY's options and
//! columns; a COPY whose options cannot be read is refused before it is sent; where the data is not what they say, nothing
//! more of it leaves and the session ends.
//! What is recorded went through the masks of the record. Held by: `core/tests/masking.rs` and `tests/it/masking.rs`
//! against a real server.

use super::backend::Breach;
use super::run::{Run, RunId};
use super::{Core, Steps};
use crate::classify::CopyOut;
use crate::mask::{self, CopyColumn, CopyRewriter};
use bytes::{BufMut as _, Bytes, BytesMut};
use portcullis_gate::{Plan, ResultColumn};
use portcullis_model::{DecisionId, Denial, Fault, Outcome, Outputs, Reason, catalogue::Oid};
use portcullis_sql::{CopyFormat, CopyOptions, ForceQuote};

/// What COPY data goes through.
pub(super) struct CopyingOut {
    client: Option<CopyRewriter>,
    record: Option<CopyRewriter>,
}

impl Core {
    /// Why this text may not be sent: something in it copies in a form that cannot be read, and its data may have to be
    /// masked. What became of it is recorded.
    pub(super) fn unmaskable_copy(&self, run: &mut Run) -> Option<Denial> {
        if !run.answer.plans() || !(0..run.read.copies_out.len()).any(|statement| !is_readable(run, statement)) {
            return None;
        }
        let encoding = run.read.text.to_ascii_lowercase().contains("encoding");
        let what = if encoding { "its ENCODING" } else { "its options" };
        let message = format!(
            "data of this COPY may have to be masked, and with {what} it cannot be read: write FORMAT text, csv or \
             binary in UTF8, each option once"
        );
        let permit = run.permit.take()?;
        run.answer.output("refusal", &message);
        run.answer.finish();
        let decision = Some(DecisionId { session: self.session.id(), number: permit.number() });
        self.session.settle(permit, Outcome::REFUSED, None);
        let reason = Reason::Unreadable(Fault::Unsupported { message: message.into() });
        Some(Denial { decision, reason, message: None })
    }

    /// The server says that COPY data comes, of so many columns.
    pub(super) fn copy_out_begins(
        &mut self,
        id: RunId,
        binary: bool,
        width: usize,
        steps: &mut Steps,
    ) -> Result<(), Breach> {
        let Some(run) = self.runs.get_mut(id) else { return Err(Breach("COPY data of what has ended")) };
        if !run.answer.plans() {
            self.copying_out = Some(CopyingOut { client: None, record: None });
            return Ok(());
        }
        match rewriters(run, binary, width) {
            Some(copying) => self.copying_out = Some(copying),
            None => self.unmaskable(steps),
        }
        Ok(())
    }

    /// Whether what is sent of the data is not what came.
    pub(super) const fn masks_copy(&self) -> bool {
        matches!(&self.copying_out, Some(CopyingOut { client: Some(_), .. }))
    }

    /// A piece of COPY data: one CopyData, or a part of a long one.
    pub(super) fn copy_out(&mut self, id: RunId, data: &[u8], frame: &Bytes, steps: &mut Steps) {
        let Some(copying) = &mut self.copying_out else {
            return self.breach("COPY data that was not announced", steps);
        };
        let Some(run) = self.runs.get_mut(id) else { return self.breach("COPY data of what has ended", steps) };
        if run.answer.records_rows() {
            match &mut copying.record {
                None => run.answer.output("copy", &String::from_utf8_lossy(data)),
                Some(rewriter) => {
                    let mut kept = Vec::new();
                    if rewriter.push(data, &mut kept).is_err() {
                        return self.unmaskable(steps);
                    }
                    run.answer.output("copy", &String::from_utf8_lossy(&kept));
                }
            }
        }
        let Some(rewriter) = &mut copying.client else {
            steps.down.push(run.answer.release(frame.clone()));
            return;
        };
        let mut rows = Vec::new();
        if rewriter.push(data, &mut rows).is_err() {
            return self.unmaskable(steps);
        }
        run.answer.masked(rewriter.masked());
        if !rows.is_empty() {
            match copy_data(&rows) {
                Some(bytes) => steps.down.push(run.answer.release(bytes)),
                None => self.unmaskable(steps),
            }
        }
    }

    /// The data is whole.
    pub(super) fn copy_out_ends(&mut self, id: RunId, steps: &mut Steps) -> Result<(), Breach> {
        let Some(copying) = self.copying_out.take() else { return Err(Breach("the end of a COPY that never began")) };
        if self.runs.get(id).is_none() {
            return Err(Breach("the end of a COPY of what has ended"));
        }
        if copying.client.is_some_and(|rewriter| rewriter.finish().is_err()) {
            self.unmaskable(steps);
        }
        Ok(())
    }
}

/// One CopyData frame.
fn copy_data(rows: &[u8]) -> Option<Bytes> {
    let length = i32::try_from(rows.len() + 4).ok()?;
    let mut frame = BytesMut::with_capacity(rows.len() + 5);
    frame.put_u8(b'd');
    frame.put_i32(length);
    frame.put_slice(rows);
    Some(frame.freeze())
}

/// What the data of this COPY goes through; `None` where it is not known how to read it.
fn rewriters(run: &mut Run, binary: bool, width: usize) -> Option<CopyingOut> {
    let Some(CopyOut::As(options)) = run.read.copies_out.get(run.statements)? else { return None };
    if (options.format == CopyFormat::Binary) != binary {
        return None;
    }
    let lineage = run.read.lineages.get(run.statements).cloned();
    let outputs = match lineage.as_ref().map(|lineage| &lineage.outputs) {
        Some(Outputs::Known(outputs)) if outputs.len() == width => outputs.as_slice(),
        Some(Outputs::Known(_) | Outputs::Unknown(_) | Outputs::None) | None => &[],
    };
    let types: Vec<Oid> = (0..width)
        .map(|index| match outputs.get(index) {
            Some(output) if output.exact => type_of(run, output.sources.columns().first().copied()),
            Some(_) | None => 0,
        })
        .collect();
    let label =
        |index: usize| outputs.get(index).and_then(|output| output.name.as_ref()).map_or("", |name| name.as_str());
    let columns: Vec<ResultColumn<'_>> = types
        .iter()
        .enumerate()
        .map(|(index, type_oid)| ResultColumn { name: label(index), origin: None, json: mask::is_json(*type_oid) })
        .collect();
    let statement = run.statements;
    let plans = run.answer.plan(statement, &columns);
    let names: Vec<&str> = (0..width).map(label).collect();
    let rewriter = |plan: Option<Plan>| match plan {
        None => Some(None),
        Some(plan) => {
            let column = |(mask, type_oid): (Option<_>, &Oid)| CopyColumn {
                mask: mask.map(|mask| mask as mask::Mask),
                type_oid: *type_oid,
            };
            let columns = plan.into_iter().zip(&types).map(column).collect();
            CopyRewriter::new(form(options, &names)?, columns).ok().map(Some)
        }
    };
    Some(CopyingOut { client: rewriter(plans.client)?, record: rewriter(plans.record)? })
}

/// Whether the data of the statement, if it copies any out, can be read whatever the server says of it.
fn is_readable(run: &Run, statement: usize) -> bool {
    match run.read.copies_out.get(statement) {
        None | Some(None) => true,
        Some(Some(CopyOut::Untold)) => false,
        Some(Some(CopyOut::As(options))) => {
            let outputs = match run.read.lineages.get(statement).map(|lineage| &lineage.outputs) {
                Some(Outputs::Known(outputs)) => outputs.as_slice(),
                Some(Outputs::Unknown(_) | Outputs::None) | None => &[],
            };
            let names: Vec<&str> =
                outputs.iter().map(|output| output.name.as_ref().map_or("", |name| name.as_str())).collect();
            form(options, &names).is_some_and(|options| CopyRewriter::new(options, Vec::new()).is_ok())
        }
    }
}

/// The type of a column, where the catalogue has it.
fn type_of(run: &Run, column: Option<portcullis_model::ColumnId>) -> Oid {
    let Some(column) = column else { return 0 };
    let relation = run.read.catalogue.relation(column.relation);
    let known = relation.and_then(|relation| relation.columns.iter().find(|known| known.number == column.number));
    known.map_or(0, |known| known.type_oid)
}

/// The options as the rewriter wants them. Columns that are always quoted and whose place is not known: none.
fn form(options: &CopyOptions, names: &[&str]) -> Option<mask::CopyOptions> {
    let format = match options.format {
        CopyFormat::Text => mask::CopyFormat::Text,
        CopyFormat::Csv => mask::CopyFormat::Csv,
        CopyFormat::Binary => mask::CopyFormat::Binary,
    };
    let force_quote = match &options.force_quote {
        ForceQuote::None => mask::ForceQuote::None,
        ForceQuote::All => mask::ForceQuote::All,
        ForceQuote::Columns(columns) => {
            let place = |column: &portcullis_model::Name| names.iter().position(|name| *name == column.as_str());
            mask::ForceQuote::Columns(columns.iter().map(place).collect::<Option<_>>()?)
        }
    };
    Some(mask::CopyOptions {
        format,
        delimiter: options.delimiter,
        null: options.null.clone(),
        quote: options.quote,
        escape: options.escape,
        header: options.header,
        force_quote,
    })
}
