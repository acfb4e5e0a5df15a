//! The observer of one session among several: it says which one an event is about.

use crate::event::{Event, Observer, SessionTag};
use std::sync::Arc;

pub(super) struct Tagged {
    pub(super) tag: SessionTag,
    pub(super) observer: Arc<dyn Observer>,
}

impl Observer for Tagged {
    fn event(&self, event: &Event) {
        self.observer.session_event(&self.tag, event);
    }
}
