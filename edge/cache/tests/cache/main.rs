//! What the cache promises, from the outside.

#[cfg(test)]
mod bounds;
#[cfg(test)]
mod derived;
#[cfg(test)]
mod fills;
#[cfg(test)]
mod large;
#[cfg(test)]
mod model;
#[cfg(test)]
mod pages;
#[cfg(test)]
mod purges;
#[cfg(test)]
mod revalidation;
#[cfg(test)]
mod scan;
#[cfg(test)]
mod soft;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tags;
#[cfg(test)]
mod threads;
#[cfg(test)]
mod variants;
