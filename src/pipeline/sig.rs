//! `resilient sig`: the signature of a basis, read once from its start to its end.

use super::files::{FileError, Input, Output, Watch, watched};
use super::{Cancel, Error, Summary};
use crate::event::{Event, Observer};
use crate::sync::format::signature::SignatureWriter;
use crate::sync::librsync::{self, Rolling};
use crate::sync::{Plan, SALT};
use crate::unit::Size;
use std::io::{BufWriter, Write};
use std::sync::Arc;

/// Bytes that are read at once, or one block: what the second-level cache holds.
const READ: usize = 256 * 1024;

/// What to sign, and how.
pub struct SigOptions {
    /// The basis.
    pub basis: Input,
    /// Where the signature goes.
    pub signature: Output,
    /// Bytes of a block; else they follow the length of the basis.
    pub block: Option<usize>,
    /// Bytes of a strong sum; else they follow the number of blocks.
    pub kept: Option<usize>,
    /// The form of the signature.
    pub form: SigForm,
}

/// How signatures can look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SigForm {
    /// Our own, with this salt; else one that the first bytes of the basis decide, so that the same basis has the same signature.
    Own(Option<[u8; SALT]>),
    /// librsync's.
    Librsync(Rolling),
}

/// Either writer.
enum Writer<'o> {
    Own(Box<SignatureWriter<BufWriter<&'o mut dyn Write>>>),
    Librsync(librsync::SignatureWriter<BufWriter<&'o mut dyn Write>>),
}

/// Makes a signature.
pub async fn sig(options: SigOptions, observer: Arc<dyn Observer>, cancel: Cancel) -> Result<Summary, Error> {
    let SigOptions { mut basis, mut signature, block, kept, form } = options;
    let (block, kept) = lengths(basis.len, block, kept, form);
    let told = Arc::clone(&observer);
    let bytes = watched(basis.len, observer, cancel, move |mut watch| {
        let bytes = sign(&mut basis, &mut signature, (block, kept), form, &mut watch)?;
        basis.unchanged()?;
        signature.finish()?;
        Ok(bytes)
    })
    .await?;
    let blocks = bytes.div_ceil(block as u64);
    let message = format!("{blocks} blocks of {} of {}", Size(block as u64), Size(bytes));
    told.event(&Event::Note { message });
    let stats =
        vec![("bytes read", bytes), ("block length", block as u64), ("sum length", kept as u64), ("blocks", blocks)];
    Ok(Summary { stats, ..Summary::NOTHING })
}

/// Signs all of `basis`; of how many bytes it is.
fn sign(
    basis: &mut Input,
    signature: &mut Output,
    (block, kept): (usize, usize),
    form: SigForm,
    watch: &mut Watch,
) -> Result<u64, FileError> {
    let name = signature.name.clone();
    let written = |error| FileError::Write { name: name.clone(), error };
    let mut buffer = vec![0; READ.div_ceil(block) * block];
    let mut there = basis.fill(&mut buffer)?;
    let to = BufWriter::new(signature.writer());
    let mut writer = match form {
        SigForm::Own(salt) => {
            let salt = salt.unwrap_or_else(|| salt_of(&buffer[..there.min(READ)], block, kept));
            Writer::Own(Box::new(SignatureWriter::new(to, salt, block, kept).map_err(written)?))
        }
        SigForm::Librsync(rolling) => {
            Writer::Librsync(librsync::SignatureWriter::new(to, rolling, block, kept).map_err(written)?)
        }
    };
    let mut bytes = 0;
    while there > 0 {
        let data = &buffer[..there];
        match &mut writer {
            Writer::Own(writer) => writer.add(data),
            Writer::Librsync(writer) => writer.add(data),
        }
        .map_err(written)?;
        bytes += there as u64;
        watch.step(there as u64)?;
        there = if there < buffer.len() { 0 } else { basis.fill(&mut buffer)? };
    }
    let mut to = match writer {
        Writer::Own(writer) => writer.finish().map_err(written)?.0,
        Writer::Librsync(writer) => writer.finish(),
    };
    to.flush().map_err(written)?;
    Ok(bytes)
}

/// Bytes of a block and of a strong sum for a basis of so many bytes, as far as they are not said.
fn lengths(bytes: Option<u64>, block: Option<usize>, kept: Option<usize>, form: SigForm) -> (usize, usize) {
    let block = block.unwrap_or(Plan::lengths(bytes).0);
    let fitting = match form {
        // Nothing checks a result of librsync's format: its sums have to be beyond doubt, and nobody salts them.
        SigForm::Librsync(_) => crate::sync::FULL,
        SigForm::Own(_) => Plan::kept_for(bytes, block),
    };
    (block, kept.unwrap_or(fitting))
}

/// A salt that nobody chose. Whoever can choose the basis can know it: against them there is `--salt random`.
fn salt_of(head: &[u8], block: usize, kept: usize) -> [u8; SALT] {
    let mut hasher = blake3::Hasher::new_derive_key("resilient 2026-11 salts of delta signatures");
    hasher.update(&(block as u64).to_le_bytes()).update(&(kept as u64).to_le_bytes()).update(head);
    let mut salt = [0; SALT];
    hasher.finalize_xof().fill(&mut salt);
    salt
}
