using System.Globalization;
using System.Text;

namespace Ndif;

// Printed as PyTorch prints: tensor([[-0.1191, -0.5757]])
public sealed partial class TensorData
{
    private const int Summarized = 1000, Edge = 3, LineWidth = 80;

    public override string ToString()
    {
        bool summarize = Count > Summarized;
        var text = new StringBuilder("tensor(");
        Func<long, string> element = Formatter(summarize);
        Write(text, 0, 0, summarize, element, "tensor(".Length);
        if (Count == 0 && _shape.Length != 1) text.Append(CultureInfo.InvariantCulture, $", size=({string.Join(", ", _shape)})");
        if (Type is not (DType.Float32 or DType.Int64 or DType.Bool)) text.Append(", dtype=torch.").Append(Type.TorchName());
        return text.Append(')').ToString();
    }

    private void Write(StringBuilder text, int dimension, long at, bool summarize, Func<long, string> element, int indent)
    {
        if (dimension == _shape.Length)
        {
            text.Append(element(at));
            return;
        }
        long size = _shape[dimension], step = _shape[(dimension + 1)..].Aggregate(1L, (a, b) => a * b);
        bool last = dimension == _shape.Length - 1;
        int line = indent + 1;
        text.Append('[');
        for (long i = 0; i < size; i++)
        {
            if (summarize && size > 2 * Edge && i == Edge)
            {
                i = size - Edge;
                text.Append(last ? " ...," : "...,").Append(last ? " " : Break());
            }
            int from = text.Length;
            Write(text, dimension + 1, at + i * step, summarize, element, indent + 1);
            if (i + 1 == size) break;
            text.Append(',');
            line += text.Length - from + 1;
            if (!last) text.Append(Break());
            else if (line > LineWidth) (line, _) = (indent + 1, text.Append('\n').Append(' ', indent + 1));
            else text.Append(' ');
        }
        text.Append(']');

        string Break() => new string('\n', Math.Max(1, _shape.Length - 1 - dimension)) + new string(' ', indent + 1);
    }

    /// <summary>One form for all: four digits, in scientific form if the sizes are far apart.</summary>
    private Func<long, string> Formatter(bool summarize)
    {
        if (Type == DType.Bool) return i => LongAt(i) != 0 ? "True" : "False";
        if (Type is DType.Complex64 or DType.Complex128) return _ => "<complex>";
        if (!Type.IsFloating())
        {
            int width = Shown(summarize).Select(i => LongAt(i).ToString(CultureInfo.InvariantCulture).Length).DefaultIfEmpty().Max();
            return i => LongAt(i).ToString(CultureInfo.InvariantCulture).PadLeft(_shape.Length == 0 ? 0 : width);
        }
        double[] finite = [.. Shown(summarize).Select(DoubleAt).Where(double.IsFinite)];
        double largest = finite.Select(Math.Abs).DefaultIfEmpty().Max(), smallest = finite.Where(x => x != 0).Select(Math.Abs).DefaultIfEmpty().Min();
        bool whole = finite.All(x => x == Math.Floor(x)), scientific = largest >= 1e8 || (!whole && (smallest < 1e-4 || largest / smallest > 1000));
        string form = scientific ? "0.0000e+00" : whole ? "0'.'" : "0.0000";
        int pad = Shown(summarize).Select(i => One(i).Length).DefaultIfEmpty().Max();
        return i => One(i).PadLeft(_shape.Length == 0 ? 0 : pad);

        string One(long i) => DoubleAt(i) switch
        {
            double.NaN => "nan",
            double.PositiveInfinity => "inf",
            double.NegativeInfinity => "-inf",
            var x => x.ToString(form, CultureInfo.InvariantCulture),
        };
    }

    /// <summary>The elements that are printed (of a large tensor those at the edges of the last dimension).</summary>
    private IEnumerable<long> Shown(bool summarize)
    {
        for (long i = 0; i < Count; i++)
        {
            if (summarize)
            {
                long rest = i;
                bool hidden = false;
                for (int d = _shape.Length - 1; d >= 0 && !hidden; rest /= _shape[d], d--)
                    hidden = _shape[d] > 2 * Edge && rest % _shape[d] is var k && k >= Edge && k < _shape[d] - Edge;
                if (hidden) continue;
            }
            yield return i;
        }
    }
}
