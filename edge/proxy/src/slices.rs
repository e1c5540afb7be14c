//! Bytes from several places to a visitor, with as few system calls as the kernel's buffers allow. Copies none of them.

use std::io::IoSlice;
use tentpole_listener::Visitor;
use tentpole_model::Failure;

/// Slices in one write of what is stored; Linux takes 1,024, but so many chunks fill the socket's buffer anyway.
pub const MANY: usize = 16;
/// Slices in one write of what arrives piece by piece: two of the head, and a piece with what stands around it. More are
/// written all the same, in turns.
pub const FEW: usize = 5;

/// Writes head and body, at most `MAX` slices at once: who waits for room holds so many.
pub async fn write_parts<'a, const MAX: usize>(
    visitor: &mut Visitor,
    head: [&'a [u8]; 2],
    body: impl Iterator<Item = &'a [u8]>,
) -> Result<u64, Failure> {
    let mut parts = head.into_iter().chain(body).filter(|part| !part.is_empty());
    let mut bytes = 0;
    loop {
        let mut slices = [IoSlice::new(b""); MAX];
        let mut count = 0;
        for (slot, part) in slices.iter_mut().zip(&mut parts) {
            *slot = IoSlice::new(part);
            count += 1;
        }
        if count == 0 {
            return Ok(bytes);
        }
        bytes += visitor.write(&mut slices[..count]).await?;
        if count < MAX {
            return Ok(bytes);
        }
    }
}
