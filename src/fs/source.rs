//! Sources: walking trees and reading files that may change underneath.
