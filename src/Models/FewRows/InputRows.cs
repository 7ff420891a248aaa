using static TorchSharp.torch;

namespace Ndif.Models;

/// <summary>Rows that are multiplied with weights, in the form that the kernels for so many of them read.</summary>
internal readonly unsafe struct InputRows
{
    private InputRows(float* numbers, ushort* halves, int count)
    {
        Numbers = numbers;
        Halves = halves;
        Count = count;
    }

    public int Count { get; }

    /// <summary>[count, inputs], or null</summary>
    public float* Numbers { get; }

    /// <summary>What <see cref="PairKernels"/> read, or null</summary>
    public ushort* Halves { get; }

    /// <param name="x">[..., inputs], contiguous, of the weight's type</param>
    /// <param name="view">The weight, or the first of several alike.</param>
    public static InputRows Of(Tensor x, WeightView view) => Of(Products.Numbers(x, 0), (int)(x.numel() / view.Inputs), view);

    /// <param name="x">[count, inputs], in the precision of the weight's type</param>
    public static InputRows Of(float* x, int count, WeightView view)
    {
        if (!PairKernels.Suits(view.Type, count)) return new InputRows(x, null, count);
        int inputs = view.Inputs, each = Math.Max(1, (1 << 15) / inputs);
        bool columns = view.ByColumns;
        ushort* halves = PairKernels.NewRows(count, inputs, columns);
        Crew.Run((count + each - 1) / each, part => PairKernels.Take(x, inputs, count, inputs, columns, halves, part * each, Math.Min(count, (part + 1) * each)));
        return new InputRows(null, halves, count);
    }
}
