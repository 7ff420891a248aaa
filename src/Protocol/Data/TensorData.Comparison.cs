using Ndif.Protocol;

namespace Ndif;

// Comparison of whole tensors.
public sealed partial class TensorData
{
    /// <summary>True if type, shape and bytes are equal.</summary>
    public bool SameAs(TensorData other) =>
        Type == other.Type && _shape.AsSpan().SequenceEqual(other._shape) && Bytes.Span.SequenceEqual(other.Bytes.Span);

    /// <summary>True if every element differs by at most atol + rtol * |other|, as <c>torch.allclose</c>.</summary>
    /// <exception cref="ShapeMismatchException">The shapes differ.</exception>
    public bool AllClose(TensorData other, double rtol = 1e-5, double atol = 1e-8)
    {
        RequireSameShape(other);
        double[] left = Elements<double>(), right = other.Elements<double>();
        for (int i = 0; i < left.Length; i++)
            if (left[i] != right[i] && !(Math.Abs(left[i] - right[i]) <= atol + rtol * Math.Abs(right[i]))) return false;
        return true;
    }

    /// <summary>The largest absolute difference of two corresponding elements; NaN if one is NaN.</summary>
    /// <exception cref="ShapeMismatchException">The shapes differ.</exception>
    public double MaxAbsDifference(TensorData other)
    {
        RequireSameShape(other);
        double[] left = Elements<double>(), right = other.Elements<double>();
        double largest = 0;
        for (int i = 0; i < left.Length; i++)
        {
            if (left[i].Equals(right[i])) continue; // two infinities of one sign differ by nothing
            double difference = Math.Abs(left[i] - right[i]);
            if (!(difference <= largest)) largest = difference;
            if (double.IsNaN(largest)) return largest;
        }
        return largest;
    }

    private void RequireSameShape(TensorData other)
    {
        if (!_shape.AsSpan().SequenceEqual(other._shape))
            throw Errors.CreateException(ErrorCode.ShapeMismatch, $"The shapes {Text(_shape)} and {Text(other._shape)} differ.");
    }
}
