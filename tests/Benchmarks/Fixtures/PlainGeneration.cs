using static TorchSharp.torch;

namespace Ndif.Benchmarks.Fixtures;

/// <summary>Rows that a plain model generates together, each the same number of tokens. Shorter prompts are padded on the left.</summary>
internal sealed class PlainGeneration : IDisposable
{
    private readonly IPlainLanguageModel _model;
    private readonly int _newTokens;
    private readonly int[] _padding;
    private readonly Tensor _ids, _positions; // [batch, seq]

    public PlainGeneration(IPlainLanguageModel model, int[][] prompts, int newTokens)
    {
        (_model, _newTokens) = (model, newTokens);
        int longest = prompts.Max(prompt => prompt.Length);
        _padding = [.. prompts.Select(prompt => longest - prompt.Length)];
        long[] ids = [.. prompts.SelectMany((prompt, row) => new long[_padding[row]].Concat(prompt.Select(id => (long)id)))];
        long[] positions = [.. _padding.SelectMany(padding => Enumerable.Range(0, longest).Select(at => Math.Max(0L, at - padding)))];
        _ids = tensor(ids, [prompts.Length, longest]).DetachFromDisposeScope();
        _positions = tensor(positions, [prompts.Length, longest]).DetachFromDisposeScope();
    }

    /// <summary>Generates, each time the likeliest token.</summary>
    public void Run() => Run((_, logits) => logits.argmax(-1));

    /// <summary>Generates the given tokens, and returns the logits before each of them.</summary>
    /// <param name="tokens">The new tokens of each row.</param>
    /// <returns>For each new token the logits of all rows, one after the other.</returns>
    public float[][] RunWith(long[][] tokens)
    {
        var all = new float[_newTokens][];
        Run((step, logits) =>
        {
            all[step] = logits.to_type(ScalarType.Float32).data<float>().ToArray();
            return tensor([.. tokens.Select(row => row[step])], dtype: ScalarType.Int64);
        });
        return all;
    }

    public void Dispose()
    {
        _ids.Dispose();
        _positions.Dispose();
    }

    /// <param name="next">The next token of each row [batch], from the step and the logits [batch, vocab].</param>
    private void Run(Func<int, Tensor, Tensor> next)
    {
        using var nothing = no_grad();
        using var outer = NewDisposeScope();
        long longest = _ids.size(1);
        using PlainKeyValueCache cache = _model.NewCache((int)longest + _newTokens, _padding);
        Tensor tokens = next(0, _model.Step(_ids, _positions, cache));                          // [batch]
        Tensor lengths = tensor([.. _padding.Select(padding => longest - padding)], dtype: ScalarType.Int64).unsqueeze(1); // [batch, 1]
        for (int step = 1; step < _newTokens; step++)
        {
            using var scope = NewDisposeScope();
            using Tensor ids = tokens.unsqueeze(1);                                             // [batch, 1]
            Tensor selected = next(step, _model.Step(ids, lengths + (step - 1), cache));        // [batch]
            tokens.Dispose();
            tokens = selected.MoveToOuterDisposeScope();
        }
    }
}
