using Ndif.Protocol;
using TorchSharp;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Engine.Kernels;

/// <summary>torch.einsum, with its equation read and its steps measured before libtorch sees them.</summary>
internal static class Einsum
{
    public static Tensor Compute(string equation, Tensor[] tensors, KernelContext context)
    {
        string text = equation.Replace(" ", "", StringComparison.Ordinal);
        string[] sides = text.Split("->");
        if (tensors.Length == 0) throw InvalidEquation(equation, "there are no tensors");
        if (sides.Length > 2 || text.Replace("...", "", StringComparison.Ordinal).Replace("->", "", StringComparison.Ordinal).Any(c => !char.IsAsciiLetter(c) && c != ','))
            throw InvalidEquation(equation, "it is made of letters, '...', ',' and one '->'");
        string[] terms = sides[0].Split(',');
        if (terms.Length != tensors.Length) throw InvalidEquation(equation, $"it has {terms.Length} terms, and there are {tensors.Length} tensors");
        var sizes = new Dictionary<char, long>();
        long spread = 1; // of what '...' stands for
        for (int i = 0; i < terms.Length; i++)
        {
            string[] parts = terms[i].Split("...");
            if (parts.Length > 2) throw InvalidEquation(equation, "a term can have one '...'");
            string letters = string.Concat(parts);
            long[] shape = tensors[i].shape;
            if (parts.Length == 1 ? letters.Length != shape.Length : letters.Length > shape.Length)
                throw Errors.CreateException(ErrorCode.ShapeMismatch, $"einsum: the term '{terms[i]}' does not fit a tensor of shape {Describe.Shape(shape)}");
            int hidden = shape.Length - letters.Length;
            for (int at = 0; at < letters.Length; at++)
            {
                int axis = at < parts[0].Length ? at : at + hidden;
                long size = shape[axis], known = sizes.GetValueOrDefault(letters[at], 1);
                if (known != size && known != 1 && size != 1)
                    throw Errors.CreateException(ErrorCode.ShapeMismatch, $"einsum: '{letters[at]}' is {known} and {size} in {equation} of {string.Join(", ", tensors.Select(Describe.Shape))}");
                sizes[letters[at]] = Math.Max(known, size);
            }
            spread = Math.Max(spread, ShapeMath.ElementCount(shape.AsSpan(parts[0].Length, hidden)));
            if (i > 0) KernelGuards.SameTypeAndDevice("einsum", tensors[0], tensors[i]);
        }
        string output = sides.Length == 2 ? sides[1]
            : string.Concat(sides[0].Where(char.IsAsciiLetter).GroupBy(c => c).Where(g => g.Count() == 1).Select(g => g.Key).Order());
        string kept = output.Replace("...", "", StringComparison.Ordinal);
        foreach (char letter in kept)
            if (!sizes.ContainsKey(letter) || kept.Count(c => c == letter) > 1)
                throw InvalidEquation(equation, $"'{letter}' of the result is {(sizes.ContainsKey(letter) ? "there twice" : "in no term")}");
        CheckIntermediateSizes(terms, kept, sizes, spread, tensors[0].element_size(), context);
        return einsum(text, tensors);
    }

    /// <summary>libtorch contracts from left to right and keeps the letters that are still needed.</summary>
    private static void CheckIntermediateSizes(string[] terms, string output, Dictionary<char, long> sizes, long spread, long bytes, KernelContext context)
    {
        HashSet<char> current = [];
        for (int i = 0; i < terms.Length; i++)
        {
            current.UnionWith(terms[i].Where(char.IsAsciiLetter));
            string later = output + string.Concat(terms.Skip(i + 1));
            current.IntersectWith(later);
            KernelGuards.Size("einsum", ShapeMath.SaturatingMultiply(spread, ShapeMath.ElementCount([.. current.Select(letter => sizes[letter])])), bytes, context);
        }
    }

    private static Exception InvalidEquation(string equation, string why) =>
        Errors.CreateException(ErrorCode.BadArgument, $"einsum(): the equation '{equation}' cannot be read: {why}.");
}
