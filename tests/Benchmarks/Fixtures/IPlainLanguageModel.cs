using static TorchSharp.torch;

namespace Ndif.Benchmarks.Fixtures;

/// <summary>A language model in plain TorchSharp that generates with a cache: the baseline of our generations.</summary>
internal interface IPlainLanguageModel : IDisposable
{
    /// <param name="capacity">The tokens of each row, padding included.</param>
    /// <param name="padding">The number of padding tokens before each row.</param>
    PlainKeyValueCache NewCache(int capacity, int[] padding);

    /// <summary>Runs the prompts or the next token of each row.</summary>
    /// <param name="ids">[batch, seq] int64</param>
    /// <param name="positions">[batch, seq] int64</param>
    /// <returns>The logits of the last token of each row, [batch, vocab].</returns>
    Tensor Step(Tensor ids, Tensor positions, PlainKeyValueCache cache);
}
