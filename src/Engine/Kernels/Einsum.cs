using Ndif.Protocol;
using TorchSharp;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Engine.Kernels;

/// <summary>torch.einsum. The equation is parsed, and the sizes of intermediate results are checked, before libtorch is called.</summary>
internal static class Einsum
{
    public static Tensor Compute(string equation, Tensor[] tensors, KernelContext context)
    {
        string text = equation.Replace(" ", "", StringComparison.Ordinal);
        string[] sides = text.Split("->");
        if (tensors.Length == 0) throw InvalidEquation(equation, "there are no tensors");
        if (sides.Length > 2 || text.Replace("...", "", StringComparison.Ordinal).Replace("->", "", StringComparison.Ordinal)
            .Any(c => !char.IsAsciiLetter(c) && c != ','))
            throw InvalidEquation(equation, "it may contain letters, '...', ',' and one '->'");
        string[] terms = sides[0].Split(',');
        if (terms.Length != tensors.Length)
            throw InvalidEquation(equation, $"it has {terms.Length} terms, and there are {tensors.Length} tensors");
        var sizes = new Dictionary<char, long>();
        long ellipsisElements = 1; // the elements of the dimensions that '...' represents
        for (int i = 0; i < terms.Length; i++)
        {
            string[] parts = terms[i].Split("...");
            if (parts.Length > 2) throw InvalidEquation(equation, "a term can have one '...'");
            string letters = string.Concat(parts);
            long[] shape = tensors[i].shape;
            if (parts.Length == 1 ? letters.Length != shape.Length : letters.Length > shape.Length)
                throw Errors.CreateException(ErrorCode.ShapeMismatch,
                    $"einsum: the term '{terms[i]}' does not fit a tensor of shape {Describe.Shape(shape)}");
            int ellipsisDims = shape.Length - letters.Length;
            for (int position = 0; position < letters.Length; position++)
            {
                int axis = position < parts[0].Length ? position : position + ellipsisDims;
                long size = shape[axis], known = sizes.GetValueOrDefault(letters[position], 1);
                if (known != size && known != 1 && size != 1)
                    throw Errors.CreateException(ErrorCode.ShapeMismatch,
                        $"einsum: '{letters[position]}' is {known} and {size} in {equation} of "
                        + $"{string.Join(", ", tensors.Select(Describe.Shape))}");
                sizes[letters[position]] = Math.Max(known, size);
            }
            ellipsisElements = Math.Max(ellipsisElements, ShapeMath.ElementCount(shape.AsSpan(parts[0].Length, ellipsisDims)));
            if (i > 0) KernelGuards.SameTypeAndDevice("einsum", tensors[0], tensors[i]);
        }
        string output = sides.Length == 2 ? sides[1]
            : string.Concat(sides[0].Where(char.IsAsciiLetter).GroupBy(c => c).Where(g => g.Count() == 1).Select(g => g.Key).Order());
        string outputLetters = output.Replace("...", "", StringComparison.Ordinal);
        foreach (char letter in outputLetters)
            if (!sizes.ContainsKey(letter) || outputLetters.Count(c => c == letter) > 1)
                throw InvalidEquation(equation,
                    $"'{letter}' of the result is {(sizes.ContainsKey(letter) ? "there twice" : "in no term")}");
        CheckIntermediateSizes(terms, outputLetters, sizes, ellipsisElements, tensors[0].element_size(), context);
        return einsum(text, tensors);
    }

    /// <summary>
    /// The elements of the largest intermediate result and the multiplications of all contractions, from left to right; 0 for what
    /// <see cref="Compute"/> rejects.
    /// </summary>
    public static (double Largest, double Operations) CostOf(string equation, Tensor[] tensors)
    {
        string[] sides = equation.Replace(" ", "", StringComparison.Ordinal).Split("->");
        string[] terms = sides[0].Split(',');
        if (terms.Length != tensors.Length) return default;
        var sizes = new Dictionary<char, double>();
        double ellipsis = 1;
        for (int i = 0; i < terms.Length; i++)
        {
            long[] shape = tensors[i].shape;
            string[] parts = terms[i].Split("...");
            int hidden = shape.Length - parts.Sum(part => part.Length);
            if (hidden < 0 || parts.Length > 2) return default;
            ellipsis = Math.Max(ellipsis, ShapeMath.ElementCount(shape.AsSpan(parts[0].Length, parts.Length == 1 ? 0 : hidden)));
            string letters = string.Concat(parts);
            for (int at = 0; at < letters.Length; at++)
                sizes[letters[at]] = Math.Max(sizes.GetValueOrDefault(letters[at], 1), shape[at < parts[0].Length ? at : at + hidden]);
        }
        string output = sides.Length == 2 ? sides[1]
            : string.Concat(sides[0].Where(char.IsAsciiLetter).GroupBy(c => c).Where(g => g.Count() == 1).Select(g => g.Key));
        HashSet<char> current = [];
        double largest = 0, operations = 0;
        for (int i = 0; i < terms.Length; i++)
        {
            current.UnionWith(terms[i].Where(char.IsAsciiLetter));
            operations += Product();
            current.IntersectWith(output + string.Concat(terms.Skip(i + 1)));
            largest = Math.Max(largest, Product());
        }
        return (largest, operations);

        double Product() => current.Aggregate(ellipsis, (product, letter) => product * sizes.GetValueOrDefault(letter, 1));
    }

    /// <summary>
    /// Checks the size of each intermediate result: libtorch contracts from left to right and keeps the letters that are still needed.
    /// </summary>
    private static void CheckIntermediateSizes(string[] terms, string output, Dictionary<char, long> sizes, long ellipsisElements,
        long bytes, KernelContext context)
    {
        HashSet<char> current = [];
        for (int i = 0; i < terms.Length; i++)
        {
            current.UnionWith(terms[i].Where(char.IsAsciiLetter));
            string neededLetters = output + string.Concat(terms.Skip(i + 1));
            current.IntersectWith(neededLetters);
            KernelGuards.Size("einsum",
                ShapeMath.SaturatingMultiply(ellipsisElements, ShapeMath.ElementCount([.. current.Select(letter => sizes[letter])])), bytes,
                context);
        }
    }

    private static Exception InvalidEquation(string equation, string why) =>
        Errors.CreateException(ErrorCode.BadArgument, $"einsum(): the equation '{equation}' cannot be read: {why}.");
}
