//! `resilient delta`: what a target is made of, by the signature of a basis; the target is read once, from its start to its end.

use super::files::{FileError, Input, Output, Watch, watched};
use super::{Cancel, Error, Summary};
use crate::event::{Event, Observer};
use crate::sync::format::delta::{DeltaWriter, Totals};
use crate::sync::format::signature::Basis;
use crate::sync::format::{FormatError, SIGNATURE_MAGIC, recognized, signature};
use crate::sync::librsync::{self, Magic};
use crate::sync::{Scan, Signature};
use crate::unit::Size;
use std::io::{BufReader, BufWriter};
use std::sync::Arc;

/// What to compare, and how the result looks.
pub struct DeltaOptions {
    /// The signature of the basis.
    pub signature: Input,
    /// The target.
    pub target: Input,
    /// Where the delta goes.
    pub delta: Output,
    /// The form that is wanted; else that of the signature.
    pub form: Option<DeltaForm>,
    /// The level of Zstandard for literals, if they are compressed.
    pub level: Option<i32>,
    /// Whether it was asked that they are.
    pub packs: bool,
}

/// How deltas can look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeltaForm {
    /// Our own.
    Own,
    /// librsync's, which are never compressed.
    Librsync,
}

/// Makes a delta.
pub async fn delta(options: DeltaOptions, observer: Arc<dyn Observer>, cancel: Cancel) -> Result<Summary, Error> {
    let DeltaOptions { signature: mut input, mut target, delta: mut output, form, level, packs } = options;
    let told = Arc::clone(&observer);
    let (totals, blocks) = watched(target.len, observer, cancel, move |mut watch| {
        let (signature, basis) = read_signature(&mut input)?;
        let form = form.unwrap_or(if basis.is_some() { DeltaForm::Own } else { DeltaForm::Librsync });
        let mut scan = Scan::new(&signature);
        let name = output.name.clone();
        let written = |error| FileError::Write { name: name.clone(), error };
        let to = BufWriter::new(output.writer());
        let (to, totals) = match (form, basis) {
            (DeltaForm::Own, Some(basis)) => {
                let mut writer = DeltaWriter::new(to, &basis, level).map_err(written)?;
                through(&mut scan, &mut target, &mut watch, &mut writer, |writer| {
                    if writer.is_full() { writer.end_frame().map_err(written) } else { Ok(()) }
                })?;
                writer.finish().map_err(written)?
            }
            (DeltaForm::Librsync, _) if packs => return Err(FileError::NotPacked { name: input.name }),
            (DeltaForm::Own, None) => return Err(FileError::NoBasis { name: input.name }),
            (DeltaForm::Librsync, _) => {
                let mut writer = librsync::delta::DeltaWriter::new(to, signature.plan().block).map_err(written)?;
                through(&mut scan, &mut target, &mut watch, &mut writer, |writer| writer.written().map_err(written))?;
                writer.finish().map_err(written)?
            }
        };
        to.into_inner().map_err(|error| written(error.into_error()))?;
        target.unchanged()?;
        output.finish()?;
        Ok((totals, signature.blocks()))
    })
    .await?;
    let Totals { copies, copied, literal, filled } = totals;
    let message = format!("{} of the basis, {} new", Size(copied), Size(literal + filled));
    told.event(&Event::Note { message });
    let stats = vec![
        ("bytes read", copied + literal + filled),
        ("blocks of the basis", blocks),
        ("copies", copies),
        ("bytes copied", copied),
        ("bytes literal", literal),
        ("bytes filled", filled),
    ];
    Ok(Summary { bytes_literal: literal + filled, bytes_matched: copied, stats, ..Summary::NOTHING })
}

/// Lets `target` go through `scan` to `sink`; `each` runs now and then.
fn through<S: crate::sync::Sink>(
    scan: &mut Scan<'_>,
    target: &mut Input,
    watch: &mut Watch,
    sink: &mut S,
    mut each: impl FnMut(&mut S) -> Result<(), FileError>,
) -> Result<(), FileError> {
    loop {
        // Pieces of one length, however it comes: the same target has the same delta.
        let space = scan.space();
        let whole = space.len();
        let read = target.fill(space)?;
        scan.filled(read);
        let last = read < whole;
        scan.run(last, sink);
        each(sink)?;
        if last {
            return Ok(());
        }
        watch.step(read as u64)?;
    }
}

/// Reads a signature of either form; what basis it is of, if it says that.
fn read_signature(input: &mut Input) -> Result<(Signature, Option<Basis>), FileError> {
    let head = input.head()?;
    let read = match head.map(|head| (head, Magic::of(head))) {
        Some((SIGNATURE_MAGIC, _)) => {
            signature::read(BufReader::new(&mut input.from)).map(|(signature, basis)| (signature, Some(basis)))
        }
        Some((_, Some(Magic::Signature(hash, rolling)))) => {
            librsync::read_signature(&mut input.from, hash, rolling).map(|signature| (signature, None))
        }
        _ => Err(FormatError::NotA { wanted: "a signature", found: head.and_then(recognized) }),
    };
    read.map_err(|error| input.malformed(error))
}
