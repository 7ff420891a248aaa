using System.Globalization;
using System.Numerics;
using System.Text;

namespace Ndif;

// Text in PyTorch's format: tensor([[-0.1191, -0.5757]])
public sealed partial class TensorData
{
    private const int SummaryThreshold = 1000, EdgeItems = 3, LineWidth = 80;

    /// <summary>The tensor as PyTorch prints it: four decimals, and only the edges of more than 1000 elements.</summary>
    public override string ToString()
    {
        const string Head = "tensor(";
        if (Count == 0)
        {
            string size = _shape.Length == 1 ? "" : $", size=({string.Join(", ", _shape)})";
            return $"{Head}[]{size}{(Type == DType.Float32 ? "" : $", dtype=torch.{Type.TorchName()}")})";
        }
        bool summarize = Count > SummaryThreshold;
        var text = new StringBuilder(Head);
        (Func<long, string> element, int width) = Formatter(summarize);
        AppendDimension(text, 0, 0, summarize, element, width, Head.Length);
        if (Type is not (DType.Float32 or DType.Int64 or DType.Bool)) text.Append(", dtype=torch.").Append(Type.TorchName());
        return text.Append(')').ToString();
    }

    /// <summary>
    /// Writes one dimension: elements of the last dimension share a line as far as they fit, other entries have lines of their own.
    /// </summary>
    /// <remarks>torch/_tensor_str.py</remarks>
    private void AppendDimension(
        StringBuilder text, int dimension, long offset, bool summarize, Func<long, string> element, int width, int indent)
    {
        if (dimension == _shape.Length)
        {
            text.Append(element(offset));
            return;
        }
        long size = _shape[dimension], step = _shape[(dimension + 1)..].Aggregate(1L, (a, b) => a * b);
        bool last = dimension == _shape.Length - 1;
        int inLine = Math.Max(1, (LineWidth - indent) / (width + 2)), shown = 0;
        string lines = new string('\n', Math.Max(1, _shape.Length - 1 - dimension)) + new string(' ', indent + 1);
        text.Append('[');
        for (long i = 0; i < size; i++)
        {
            if (i > 0) text.Append(',').Append(last && shown % inLine != 0 ? " " : lines);
            shown++;
            if (summarize && size > 2 * EdgeItems && i == EdgeItems)
            {
                text.Append(last ? " ..." : "...");
                i = size - EdgeItems - 1;
            }
            else AppendDimension(text, dimension + 1, offset + (i * step), summarize, element, width, indent + 1);
        }
        text.Append(']');
    }

    /// <summary>The format of all elements: four decimals, in scientific notation if their magnitudes differ much.</summary>
    private (Func<long, string> Element, int Width) Formatter(bool summarize)
    {
        if (Type is DType.Complex64 or DType.Complex128) return (_ => "<complex>", 9);
        Func<long, string> one = Type == DType.Bool ? i => ElementAt<long>(i) != 0 ? "True" : "False"
            : Type.IsFloatingPoint() ? Real(summarize) : i => ElementAt<long>(i).ToString(CultureInfo.InvariantCulture);
        int width = PrintedIndices(summarize).Select(i => one(i).Length).DefaultIfEmpty().Max();
        return (i => one(i).PadLeft(_shape.Length == 0 ? 0 : width), width);
    }

    private Func<long, string> Real(bool summarize)
    {
        double[] sizes = [.. PrintedIndices(summarize).Select(ElementAt<double>).Where(x => double.IsFinite(x) && x != 0).Select(Math.Abs)];
        double largest = sizes.DefaultIfEmpty().Max(), smallest = sizes.DefaultIfEmpty().Min();
        bool isWhole = sizes.All(x => x == Math.Floor(x));
        bool isScientific = sizes.Length > 0 && (largest / smallest > 1000 || largest > 1e8 || (!isWhole && smallest < 1e-4));
        return i => ElementAt<double>(i) switch
        {
            double.NaN => "nan",
            double.PositiveInfinity => "inf",
            double.NegativeInfinity => "-inf",
            var x when isScientific => x.ToString("0.0000e+00", CultureInfo.InvariantCulture),
            var x when isWhole => x.ToString("F0", CultureInfo.InvariantCulture) + ".",
            var x => x.ToString("F4", CultureInfo.InvariantCulture),
        };
    }

    private T ElementAt<T>(long index) where T : unmanaged, INumber<T> =>
        new TensorData(Type, [], Bytes.Slice(checked((int)(index * Type.ItemSize())), Type.ItemSize())).Elements<T>()[0];

    /// <summary>The elements that are printed: all, or of a large tensor those at the edges of each dimension.</summary>
    private IEnumerable<long> PrintedIndices(bool summarize)
    {
        for (long i = 0; i < Count; i++)
        {
            if (summarize)
            {
                long rest = i;
                bool hidden = false;
                for (int d = _shape.Length - 1; d >= 0 && !hidden; rest /= _shape[d], d--)
                    hidden = _shape[d] > 2 * EdgeItems && rest % _shape[d] is var k && k >= EdgeItems && k < _shape[d] - EdgeItems;
                if (hidden) continue;
            }
            yield return i;
        }
    }
}
