//! What is to go wrong, by the name of what is called: once, in order, or always.

use std::collections::HashMap;
use std::sync::Mutex;

/// The faults of type `F` that a test has planned.
#[derive(Debug)]
pub struct Plan<F> {
    faults: Mutex<Faults<F>>,
}

#[derive(Debug)]
struct Faults<F> {
    once: HashMap<String, Vec<F>>,
    always: HashMap<String, F>,
}

impl<F> Default for Plan<F> {
    fn default() -> Self {
        Self { faults: Mutex::new(Faults { once: HashMap::new(), always: HashMap::new() }) }
    }
}

impl<F: Clone> Plan<F> {
    /// The next call of this name fails so; several such are used up in order.
    pub fn once(&self, name: &str, fault: F) {
        self.faults.lock().expect("not poisoned").once.entry(name.to_owned()).or_default().push(fault);
    }

    /// Every call of this name fails so from now on, after those that fail once.
    pub fn always(&self, name: &str, fault: F) {
        self.faults.lock().expect("not poisoned").always.insert(name.to_owned(), fault);
    }

    /// All is well again.
    pub fn heal(&self) {
        let mut faults = self.faults.lock().expect("not poisoned");
        faults.once.clear();
        faults.always.clear();
    }

    /// How the call of this name that is made now fails; [`None`]: it does not.
    pub fn next(&self, name: &str) -> Option<F> {
        let mut faults = self.faults.lock().expect("not poisoned");
        match faults.once.get_mut(name) {
            Some(once) if !once.is_empty() => Some(once.remove(0)),
            _ => faults.always.get(name).cloned(),
        }
    }
}
