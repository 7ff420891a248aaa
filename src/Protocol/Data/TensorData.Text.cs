using System.Globalization;
using System.Text;

namespace Ndif;

// Printed as PyTorch prints: tensor([[-0.1191, -0.5757]])
public sealed partial class TensorData
{
    private const int SummaryThreshold = 1000, EdgeItems = 3, LineWidth = 80;

    public override string ToString()
    {
        const string Head = "tensor(";
        if (Count == 0)
            return $"{Head}[]{(_shape.Length == 1 ? "" : $", size=({string.Join(", ", _shape)})")}{(Type == DType.Float32 ? "" : $", dtype=torch.{Type.TorchName()}")})";
        bool summarize = Count > SummaryThreshold;
        var text = new StringBuilder(Head);
        (Func<long, string> element, int width) = Formatter(summarize);
        AppendDimension(text, 0, 0, summarize, element, width, Head.Length);
        if (Type is not (DType.Float32 or DType.Int64 or DType.Bool)) text.Append(", dtype=torch.").Append(Type.TorchName());
        return text.Append(')').ToString();
    }

    /// <summary>torch/_tensor_str.py: as many elements of the last dimension in a line as fit, a line for each other entry.</summary>
    private void AppendDimension(StringBuilder text, int dimension, long offset, bool summarize, Func<long, string> element, int width, int indent)
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

    /// <summary>One form for all: four digits, in scientific form if the sizes are far apart.</summary>
    private (Func<long, string> Element, int Width) Formatter(bool summarize)
    {
        if (Type is DType.Complex64 or DType.Complex128) return (_ => "<complex>", 9);
        Func<long, string> one = Type == DType.Bool ? i => LongAt(i) != 0 ? "True" : "False"
            : Type.IsFloatingPoint() ? Real(summarize) : i => LongAt(i).ToString(CultureInfo.InvariantCulture);
        int width = PrintedIndices(summarize).Select(i => one(i).Length).DefaultIfEmpty().Max();
        return (i => one(i).PadLeft(_shape.Length == 0 ? 0 : width), width);
    }

    private Func<long, string> Real(bool summarize)
    {
        double[] sizes = [.. PrintedIndices(summarize).Select(DoubleAt).Where(x => double.IsFinite(x) && x != 0).Select(Math.Abs)];
        double largest = sizes.DefaultIfEmpty().Max(), smallest = sizes.DefaultIfEmpty().Min();
        bool whole = sizes.All(x => x == Math.Floor(x)), far = sizes.Length > 0 && (largest / smallest > 1000 || largest > 1e8 || (!whole && smallest < 1e-4));
        return i => DoubleAt(i) switch
        {
            double.NaN => "nan",
            double.PositiveInfinity => "inf",
            double.NegativeInfinity => "-inf",
            var x when far => x.ToString("0.0000e+00", CultureInfo.InvariantCulture),
            var x when whole => x.ToString("F0", CultureInfo.InvariantCulture) + ".",
            var x => x.ToString("F4", CultureInfo.InvariantCulture),
        };
    }

    /// <summary>The elements that are printed (of a large tensor those at the edges of the last dimension).</summary>
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
