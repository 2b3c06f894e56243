//! What a guest has been told and keeps: the functions that it was sent, and the module search path.

use std::collections::VecDeque;

use hypern_wire::Kind;

use crate::task::Encoded;

/// Functions that a guest keeps at most; the one that was not used for longest is forgotten first.
const FUNCTIONS: usize = 64;

/// Written by the worker that owns the guest, alone.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// Numbers of the functions, the one used last at the back.
    functions: VecDeque<u64>,
    /// The number of the path, 0 for the one that the guest began with.
    path: u64,
}

impl Known {
    /// Calls `tell` with what the guest must be told before it is given `task`, and takes note of it; returns the number
    /// of the task's function, 0 for none.
    pub(crate) fn prepare<'t>(&mut self, task: &'t Encoded, mut tell: impl FnMut(Kind, u64, &'t [u8])) -> u64 {
        let path = task.path.content();
        if path.number != self.path {
            self.path = path.number;
            tell(Kind::Path, path.number, &path.bytes);
        }
        let Some(function) = &task.function else { return 0 };
        let number = function.content().number;
        if let Some(place) = self.functions.iter().rposition(|known| *known == number) {
            if place + 1 < self.functions.len() {
                self.functions.remove(place);
                self.functions.push_back(number);
            }
            return number;
        }
        if self.functions.len() == FUNCTIONS
            && let Some(oldest) = self.functions.pop_front()
        {
            tell(Kind::Forget, oldest, &[]);
        }
        self.functions.push_back(number);
        tell(Kind::Define, number, &function.content().bytes);
        number
    }
}
