//! Sessions that share one destination: the directory of unfinished files comes and goes under their hands.

use resilient::fs::disk::Disk;
use resilient::fs::real::RealDisk;
use resilient::manifest::{Name, TreePath};

#[test]
fn an_empty_directory_of_unfinished_files_may_go_at_any_moment() {
    let folder = tempfile::tempdir().unwrap();
    let disk = RealDisk::open(folder.path()).unwrap();
    let link = TreePath::ROOT.join(Name::new("link").unwrap()).unwrap();
    let work = |number: usize| {
        // One of them is another process to the others.
        let other = RealDisk::open(folder.path()).unwrap();
        let disk = if number == 0 { &other } else { &disk };
        for round in 0..2000 {
            let name = format!("{number}-{round}");
            drop(disk.create_partial(&name, 0).unwrap());
            disk.remove_partial(&name).unwrap();
            disk.remove_partial_dir().unwrap();
            if number == 1 {
                disk.make_symlink(&link, b"x", true).unwrap();
            }
        }
    };
    std::thread::scope(|scope| {
        for number in 0..3 {
            scope.spawn(move || work(number));
        }
    });
}
