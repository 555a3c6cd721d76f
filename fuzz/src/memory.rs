//! Memory by the allocation: an input that makes a target ask for much at once is a finding, whether or not the memory is touched.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

/// The most octets of one allocation. A block of a state file has 4 MiB at most, and a vector that grows doubles.
const MOST: usize = 8 * 1024 * 1024;

/// The largest allocation since this was last set to zero.
static LARGEST: AtomicUsize = AtomicUsize::new(0);

/// The system's allocator with a look at the sizes.
struct Watched;

// SAFETY: every call is handed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Watched {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LARGEST.fetch_max(layout.size(), Ordering::Relaxed);
        // SAFETY: what the caller promises holds for the system's allocator too.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above; the block came from there.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        LARGEST.fetch_max(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        LARGEST.fetch_max(size, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Watched = Watched;

/// Gives an input to a target, which may not allocate more than `MOST` octets at once.
pub fn bounded(run: fn(&[u8]), input: &[u8]) {
    LARGEST.store(0, Ordering::Relaxed);
    run(input);
    let largest = LARGEST.load(Ordering::Relaxed);
    assert!(largest <= MOST, "{largest} octets were allocated at once");
}
