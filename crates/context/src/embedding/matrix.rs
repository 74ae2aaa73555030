//! Products of matrices, by `matrixmultiply`, behind a view that is checked.
#![expect(
    unsafe_code,
    reason = "the product takes addresses and strides; `multiply` holds them against the slices first"
)]

/// A matrix in a slice: the number at (row, column) is at `row * down + column * right`.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) numbers: &'a [f32],
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) down: usize,
    pub(super) right: usize,
}

impl<'a> View<'a> {
    /// Row by row, without a gap.
    pub(super) fn rows(numbers: &'a [f32], rows: usize, columns: usize) -> View<'a> {
        View {
            numbers,
            rows,
            columns,
            down: columns,
            right: 1,
        }
    }

    /// Rows for columns.
    pub(super) fn turned(self) -> View<'a> {
        View {
            rows: self.columns,
            columns: self.rows,
            down: self.right,
            right: self.down,
            ..self
        }
    }

    fn fits(&self) -> bool {
        last(self.rows, self.columns, self.down, self.right).is_none_or(|last| last < self.numbers.len())
    }
}

/// The place of the last number; none where there is no number.
fn last(rows: usize, columns: usize, down: usize, right: usize) -> Option<usize> {
    Some(rows.checked_sub(1)? * down + columns.checked_sub(1)? * right)
}

/// `scale` times the product of `one` and `other` into `to`, whose rows are `down` apart.
///
/// # Panics
/// When the shapes do not fit each other or a slice: shapes come from a model that was checked when it was loaded.
pub(super) fn multiply(scale: f32, one: View<'_>, other: View<'_>, to: &mut [f32], down: usize) {
    let room = last(one.rows, other.columns, down, 1).is_none_or(|last| last < to.len());
    assert!(one.columns == other.rows && down >= other.columns && one.fits() && other.fits() && room);
    // SAFETY: each address is in its slice by the line above, `to` is borrowed alone, and its rows do not overlap. No slice
    // is longer than `isize::MAX` bytes, so the strides, smaller than its length or never used, keep their sign.
    unsafe {
        matrixmultiply::sgemm(
            one.rows,
            one.columns,
            other.columns,
            scale,
            one.numbers.as_ptr(),
            one.down as isize,
            one.right as isize,
            other.numbers.as_ptr(),
            other.down as isize,
            other.right as isize,
            0.0,
            to.as_mut_ptr(),
            down as isize,
            1,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_those_of_three_loops() {
        let (n, k, m) = (7, 5, 9);
        let one: Vec<f32> = (0..n * k).map(|x| (x as f32 * 0.7).sin()).collect();
        let other: Vec<f32> = (0..m * k).map(|x| (x as f32 * 0.3).cos()).collect();
        let mut to = vec![7.0; n * 11];
        multiply(
            0.5,
            View::rows(&one, n, k),
            View::rows(&other, m, k).turned(),
            &mut to,
            11,
        );
        for row in 0..n {
            for column in 0..m {
                let sum: f32 = (0..k).map(|i| one[row * k + i] * other[column * k + i]).sum();
                assert!((to[row * 11 + column] - 0.5 * sum).abs() < 1e-5);
            }
            assert_eq!(
                to[row * 11 + 9..(row + 1) * 11],
                [7.0, 7.0],
                "what is beside it is left alone"
            );
        }
    }

    #[test]
    #[should_panic(expected = "assertion")]
    fn nothing_outside_of_a_slice_is_touched() {
        let one = vec![1.0; 6];
        multiply(1.0, View::rows(&one, 2, 3), View::rows(&one, 3, 2), &mut [0.0; 3], 2);
    }
}
