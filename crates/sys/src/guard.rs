//! A test build's proof that nothing allocates between clone and exec.
//!
//! In a process that was cloned from another, the allocator's lock may be held by a thread that is not
//! there. So the child works on what its parent laid out. With the feature `test-guard` and [`Allocator`] as
//! global allocator, a process that called [`forbid`] dies of its first allocation; in any other build
//! nothing of this is compiled.

/// From now on an allocation ends the process. Does nothing without the feature `test-guard`.
#[inline]
pub fn forbid() {
    #[cfg(feature = "test-guard")]
    FORBIDDEN.store(true, std::sync::atomic::Ordering::Relaxed);
}

#[cfg(feature = "test-guard")]
static FORBIDDEN: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);

/// The system's allocator, until [`forbid`].
#[cfg(feature = "test-guard")]
#[derive(Debug)]
pub struct Allocator;

#[cfg(feature = "test-guard")]
impl Allocator {
    fn check(what: &'static [u8]) {
        if FORBIDDEN.load(std::sync::atomic::Ordering::Relaxed) {
            // SAFETY: write(2) of a static text, then abort(3): neither touches the heap.
            unsafe {
                libc::write(2, what.as_ptr().cast(), what.len());
                libc::abort();
            }
        }
    }
}

#[cfg(feature = "test-guard")]
// SAFETY: every call goes to the system's allocator unchanged, or does not return.
unsafe impl std::alloc::GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: std::alloc::Layout) -> *mut u8 {
        Self::check(b"guard: allocation after clone\n");
        // SAFETY: the caller's promises are those of `System`.
        unsafe { std::alloc::System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: std::alloc::Layout) {
        Self::check(b"guard: release of memory after clone\n");
        // SAFETY: as above.
        unsafe { std::alloc::System.dealloc(pointer, layout) }
    }
}
