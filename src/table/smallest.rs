//! Picks the first of many without sorting all of them.

use std::collections::BinaryHeap;

/// The `limit` smallest of `items` in order, equal ones once. Takes memory for `limit` of them. Empty only if there are no items:
/// equal ones may take the places of others, which a call that asks for those behind the last returns.
pub(super) fn smallest<T: Ord>(items: impl Iterator<Item = T>, limit: usize) -> Vec<T> {
    let mut kept = BinaryHeap::new();
    for item in items {
        if kept.len() < limit {
            kept.push(item);
        } else if let Some(mut largest) = kept.peek_mut()
            && item < *largest
        {
            *largest = item;
        }
    }
    let mut kept = kept.into_sorted_vec();
    kept.dedup();
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_come_in_order_and_equal_ones_once() {
        let items = [5, 1, 4, 1, 3, 2, 5];
        assert_eq!(smallest(items.into_iter(), 3), [1, 2]);
        assert_eq!(smallest(items.into_iter().filter(|item| *item > 2), 3), [3, 4, 5]);
        assert_eq!(smallest(items.into_iter(), 9), [1, 2, 3, 4, 5]);
        assert!(smallest(items.into_iter(), 0).is_empty() && smallest([0; 0].into_iter(), 3).is_empty());
    }
}
