//! The working tree of a project as something to search in: walks it, reads what changed, keeps the index on disk and
//! up to date. What is found and how good it is, `context::retrieval` decides.
//!
//! Entered through [`Codebase`]: opened once, asked any number of times. Each question may look at the tree first; only
//! files that changed since are read. The index is a cache: whatever is wrong with it, it is built anew and that is
//! said.

mod meaning;
mod shelf;
mod tree;
pub(crate) mod walk;
mod weights;
mod whole;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use wheelhouse_context::retrieval::anatomy::{Anatomy, FILE_BYTES_MAX, Skip, dissect};
use wheelhouse_context::retrieval::catalogue::{Catalogue, Entry, Found, Place, Stamp};
use wheelhouse_context::retrieval::index::Index;
use wheelhouse_context::retrieval::meaning::Meant;
use wheelhouse_context::retrieval::query::Query;
use wheelhouse_context::retrieval::search::{asks_for_meaning, search};
use wheelhouse_context::retrieval::segment::{Builder, Segment};

pub use meaning::{Embed, Ordered, order as by_meaning};
pub use tree::Tree;
pub use walk::FILES_MAX;
pub use weights::{Unfit, Weights};
pub use wheelhouse_context::port::Files;
pub use wheelhouse_context::retrieval::search::{ANSWERS_MAX, Hit, Options, Unit};

use crate::supervise;
use shelf::Shelf;
use whole::Whole;

/// Files are read and taken apart so many at a time.
const BATCH: usize = 512;
/// A new segment begins after so many entries, so that sorting them needs no more than a few hundred megabytes.
const ENTRIES_MAX: usize = 16_000_000;
/// More segments than this are merged.
const SEGMENTS_MAX: usize = 8;
/// A change so short ago may be followed by another that leaves the same time behind.
const RACY: Duration = Duration::from_secs(2);

/// The second stage has so many times what is asked for to choose from.
const REORDERED: usize = 3;
/// And no fewer than so many: what it would put first may be far down.
const REORDERED_MIN: usize = 40;

/// A second stage: orders places anew, given the question and the places in the order of the first.
pub trait SecondStage: Send + Sync {
    /// The order. Where it cannot be had, that of the first stage, and a notice that says why.
    fn order(&self, question: &str, hits: &[Hit], files: &dyn Files) -> Second;
}

/// What a question is put to besides the index.
#[derive(Clone, Default)]
pub struct Stages {
    /// Makes vectors of every piece of the tree: a way of looking of its own. Only for what is quick and costs nothing.
    pub meaning: Option<Arc<dyn Embed>>,
    /// Orders the best places anew.
    pub second: Option<Arc<dyn SecondStage>>,
}

/// What a second stage came to.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Second {
    /// The places by their numbers, the best first. Numbers it leaves out follow in the old order.
    pub order: Vec<usize>,
    /// What people should know.
    pub notices: Vec<String>,
    /// How it was done and what it took; none where nothing was done.
    pub how: Option<String>,
}

/// Where in a state directory the index is.
pub fn index_in(state_dir: &Path) -> PathBuf {
    state_dir.join("index")
}

/// The tree could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such directory, or it cannot be listed.
    #[error("cannot list the files of {}: {why}", root.display())]
    Root {
        /// The directory.
        root: PathBuf,
        /// What the system said.
        why: String,
    },
}

/// What an update did.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Update {
    /// How many files were read.
    pub read: usize,
    /// How many of them had really changed.
    pub changed: usize,
    /// How many are there no more.
    pub gone: usize,
    /// How long it took.
    pub took: Duration,
    /// What people should know: the index was damaged and is new, or it could not be kept.
    pub notices: Vec<String>,
    /// How many pieces have vectors by meaning; none where no such model is named.
    pub vectors: Option<usize>,
    /// How the second stage ordered, and what it took.
    pub second: Option<String>,
}

/// What is in the index and what is not.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Extent {
    /// Files that can be found.
    pub files: u32,
    /// Pieces they are cut into.
    pub pieces: u32,
    /// Definitions in them.
    pub definitions: usize,
    /// Files left out, by reason.
    pub skipped: BTreeMap<Skip, usize>,
    /// Whether there are more files than [`FILES_MAX`].
    pub beyond: bool,
}

/// A project's tree with its index.
pub struct Codebase {
    root: PathBuf,
    shelf: Option<Shelf>,
    catalogue: Catalogue,
    volumes: Vec<Volume>,
    index: Arc<Index>,
    whole: Option<Whole>,
    looked: Option<Instant>,
    /// Said with the next update.
    notices: Vec<String>,
}

impl Codebase {
    /// The tree below `root`, with its index in `keep` (`index` of the state directory) or in memory alone.
    pub fn open(root: &Path, keep: Option<&Path>) -> Codebase {
        let shelf = keep.map(Shelf::new);
        let mut notices = Vec::new();
        let (catalogue, volumes) = match shelf.as_ref().map(Shelf::load) {
            Some(Ok(kept)) => kept,
            None => Default::default(),
            Some(Err(why)) => {
                notices.push(format!("the index was {why}; it is built anew"));
                Default::default()
            }
        };
        Codebase {
            root: root.to_owned(),
            shelf,
            index: Arc::new(Index::new(segments(&volumes), &catalogue)),
            catalogue,
            volumes,
            whole: None,
            looked: None,
            notices,
        }
    }

    /// Answers a question, after a look at the tree unless there was one less than `fresh` ago.
    pub fn find(
        &mut self,
        text: &str,
        options: &Options,
        fresh: Duration,
        stages: &Stages,
    ) -> Result<(Vec<Hit>, Update), Error> {
        let looked = self.looked.is_some_and(|looked| looked.elapsed() < fresh);
        let mut update = if looked { Update::default() } else { self.update()? };
        let query = Query::parse(text);
        let question = match &stages.meaning {
            Some(embed) if asks_for_meaning(&query, options) => self.meant(embed.as_ref(), text, &mut update),
            _ => None,
        };
        let meant = self
            .whole
            .as_ref()
            .zip(question.as_ref())
            .map(|(whole, question)| Meant {
                meanings: whole.meanings(),
                question,
            });
        let Some(second) = &stages.second else {
            return Ok((search(&self.index, &query, options, meant), update));
        };
        let wide = Options {
            count: options.count.saturating_mul(REORDERED).max(REORDERED_MIN),
            ..options.clone()
        };
        let mut hits = search(&self.index, &query, &wide, meant);
        if !hits.is_empty() {
            let Second { order, notices, how } = second.order(text, &hits, &self.tree());
            hits = in_order(hits, &order);
            update.notices.extend(notices);
            update.second = how;
        }
        hits.truncate(options.count);
        Ok((hits, update))
    }

    /// The vector of the question, with those of the tree brought up to it. None, and a notice, where they cannot be had.
    fn meant(&mut self, embed: &dyn Embed, text: &str, update: &mut Update) -> Option<Vec<f32>> {
        let asked = embed.embed(&[text.to_owned()]).and_then(|(vectors, _)| {
            let question = vectors.into_iter().next().ok_or("there is no vector of the question")?;
            let shelf = self.shelf.as_ref().map(Shelf::directory);
            let known = self.whole.take().filter(|whole| whole.is_of(embed));
            let whole = self
                .whole
                .insert(known.unwrap_or_else(|| Whole::open(embed, question.len(), shelf)));
            let notices = whole.raise(embed, &self.root, &self.index, &self.catalogue)?;
            update.vectors = Some(whole.meanings().pieces());
            update.notices.extend(notices);
            Ok(question)
        });
        match asked {
            Ok(question) => Some(question),
            Err(why) => {
                update.notices.push(format!("nothing is looked for by meaning: {why}"));
                None
            }
        }
    }

    /// The index as it is, to be searched without holding on to anything else.
    pub fn index(&self) -> Arc<Index> {
        Arc::clone(&self.index)
    }

    /// The files, for reading.
    pub fn tree(&self) -> Tree {
        Tree::new(&self.root)
    }

    /// Whether a file is still what the index has of it: then the lines of a hit are those of the file.
    pub fn is_as_indexed(&self, path: &str, bytes: &[u8]) -> bool {
        let known = self.catalogue.files.get(path);
        known.is_some_and(|entry| entry.hash == fingerprint(bytes))
    }

    /// What is in the index and what is not.
    pub fn extent(&self) -> Extent {
        Extent {
            files: self.index.files(),
            pieces: self.index.pieces(),
            definitions: self.index.definitions(),
            skipped: self.catalogue.skipped(),
            beyond: self.catalogue.beyond,
        }
    }

    /// Brings the index up to the tree.
    pub fn update(&mut self) -> Result<Update, Error> {
        let began = Instant::now();
        let (found, beyond) = walk::walk(&self.root)?;
        let mut update = Update {
            notices: std::mem::take(&mut self.notices),
            ..Update::default()
        };
        let stale = self.catalogue.stale(&found);
        let mut dirty = beyond != self.catalogue.beyond || !stale.gone.is_empty();
        self.catalogue.beyond = beyond;
        for path in &stale.gone {
            self.catalogue.files.remove(path);
        }
        update.gone = stale.gone.len();
        update.read = stale.read.len();
        let mut builder = Builder::new();
        for batch in stale.read.chunks(BATCH) {
            let batch: Vec<(&Found, Option<u64>)> = batch
                .iter()
                .filter_map(|place| found.get(*place))
                .map(|one| (one, self.catalogue.files.get(&one.path).map(|entry| entry.hash)))
                .collect();
            let seen = supervise::many_hands(&batch, |(one, known)| look(&self.root, one, *known));
            for ((one, _), seen) in batch.iter().zip(seen) {
                dirty |= self.take(&one.path, seen, &mut builder, &mut update);
            }
            if builder.entries() > ENTRIES_MAX {
                self.volumes.push(Volume::new(std::mem::take(&mut builder).finish()));
            }
        }
        if builder.files() > 0 {
            self.volumes.push(Volume::new(builder.finish()));
        }
        self.looked = Some(began);
        if dirty {
            self.tidy();
            self.index = Arc::new(Index::new(segments(&self.volumes), &self.catalogue));
            if let Some(shelf) = &self.shelf
                && let Err(why) = shelf.keep(&mut self.catalogue, &mut self.volumes)
            {
                update.notices.push(format!("the index could not be kept: {why}"));
            }
        }
        update.took = began.elapsed();
        Ok(update)
    }

    /// Takes over what was seen of a file. Whether anything is to be kept anew.
    fn take(&mut self, path: &str, seen: Seen, builder: &mut Builder, update: &mut Update) -> bool {
        let Seen { stamp, hash, what } = seen;
        let place = match what {
            What::Same => {
                if let Some(entry) = self.catalogue.files.get_mut(path) {
                    let settled = entry.stamp != stamp;
                    entry.stamp = stamp;
                    return settled;
                }
                return false;
            }
            What::Skipped(skip) => Place::Skipped(skip),
            What::Dissected(anatomy) => {
                let place = Place::Indexed {
                    segment: self.volumes.len() as u32,
                    doc: builder.files() as u32,
                };
                builder.add(*anatomy);
                place
            }
        };
        update.changed += 1;
        self.catalogue
            .files
            .insert(path.to_owned(), Entry { stamp, hash, place });
        true
    }

    /// Merges when there are many segments: all but the largest, or all where half of that is dead.
    fn tidy(&mut self) {
        let mut live: Vec<Vec<bool>> = self
            .volumes
            .iter()
            .map(|one| vec![false; one.segment.files()])
            .collect();
        for entry in self.catalogue.files.values() {
            if let Place::Indexed { segment, doc } = entry.place
                && let Some(live) = live
                    .get_mut(segment as usize)
                    .and_then(|docs| docs.get_mut(doc as usize))
            {
                *live = true;
            }
        }
        let count = |docs: &Vec<bool>| docs.iter().filter(|live| **live).count();
        let worn = |place: usize| count(&live[place]) * 2 < live[place].len();
        let largest = (0..self.volumes.len()).max_by_key(|place| self.volumes[*place].segment.weight());
        let Some(largest) = largest else { return };
        if self.volumes.len() <= SEGMENTS_MAX && !worn(largest) {
            return;
        }
        let kept = (!worn(largest)).then_some(largest);
        let mut volumes: Vec<Volume> = kept.map(|place| self.volumes[place].clone()).into_iter().collect();
        let mut builder = Builder::new();
        let mut moved: Vec<Vec<Option<Place>>> = Vec::new();
        for (place, Volume { segment, .. }) in self.volumes.iter().enumerate() {
            let to = volumes.len() as u32;
            if kept == Some(place) {
                let docs = (0..segment.files() as u32).map(|doc| Some(Place::Indexed { segment: 0, doc }));
                moved.push(docs.collect());
                continue;
            }
            let docs = builder.absorb(segment, &live[place]).into_iter();
            moved.push(
                docs.map(|doc| Some(Place::Indexed { segment: to, doc: doc? }))
                    .collect(),
            );
            if builder.entries() > ENTRIES_MAX {
                volumes.push(Volume::new(std::mem::take(&mut builder).finish()));
            }
        }
        volumes.push(Volume::new(builder.finish()));
        for entry in self.catalogue.files.values_mut() {
            if let Place::Indexed { segment, doc } = entry.place
                && let Some(Some(place)) = moved.get(segment as usize).and_then(|docs| docs.get(doc as usize))
            {
                entry.place = *place;
            }
        }
        self.volumes = volumes;
    }
}

/// The places whose numbers are given in that order, then the others; numbers of no place are passed over.
fn in_order(hits: Vec<Hit>, order: &[usize]) -> Vec<Hit> {
    let mut places: Vec<Option<Hit>> = hits.into_iter().map(Some).collect();
    let mut ordered: Vec<Hit> = order
        .iter()
        .filter_map(|number| places.get_mut(*number)?.take())
        .collect();
    ordered.extend(places.into_iter().flatten());
    ordered
}

/// A segment, and its name on the shelf as soon as it is there.
#[derive(Clone)]
struct Volume {
    segment: Arc<Segment>,
    name: Option<String>,
}

impl Volume {
    fn new(segment: Segment) -> Volume {
        Volume {
            segment: Arc::new(segment),
            name: None,
        }
    }
}

fn segments(volumes: &[Volume]) -> Vec<Arc<Segment>> {
    volumes.iter().map(|volume| Arc::clone(&volume.segment)).collect()
}

/// A file, looked at.
struct Seen {
    stamp: Option<Stamp>,
    hash: u64,
    what: What,
}

enum What {
    /// Its bytes are those that are in the index.
    Same,
    Skipped(Skip),
    Dissected(Box<Anatomy>),
}

/// Reads a file and takes it apart, unless its bytes are known.
fn look(root: &Path, found: &Found, known: Option<u64>) -> Seen {
    let skipped = |stamp, skip| Seen {
        stamp,
        hash: 0,
        what: What::Skipped(skip),
    };
    if found.stamp.bytes > FILE_BYTES_MAX {
        return skipped(Some(found.stamp), Skip::Large);
    }
    let bytes = match tree::read(root, &found.path) {
        Ok(bytes) => bytes,
        // It may be readable next time: no stamp.
        Err(_) => return skipped(None, Skip::Unreadable),
    };
    // One that changed since the walk is looked at again next time, and so is one that might change unseen.
    let stamp = Some(found.stamp).filter(|stamp| stamp.bytes == bytes.len() as u64 && !is_racy(*stamp));
    let hash = fingerprint(&bytes);
    if known == Some(hash) {
        let what = What::Same;
        return Seen { stamp, hash, what };
    }
    let what = match dissect(&found.path, &bytes) {
        Ok(anatomy) => What::Dissected(Box::new(anatomy)),
        Err(skip) => What::Skipped(skip),
    };
    Seen { stamp, hash, what }
}

/// The start of the hash of a file's bytes.
fn fingerprint(bytes: &[u8]) -> u64 {
    let sum = blake3::hash(bytes);
    let first = sum.as_bytes().iter().take(8);
    first.fold(0, |hash, byte| (hash << 8) | u64::from(*byte))
}

fn is_racy(stamp: Stamp) -> bool {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let edge = i64::try_from(now.saturating_sub(RACY).as_nanos()).unwrap_or(i64::MAX);
    stamp.changed_ns >= edge
}
