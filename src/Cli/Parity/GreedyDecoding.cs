using Ndif.Models;
using Ndif.Models.Loading;
using static TorchSharp.torch;

namespace Ndif.Cli.Parity;

/// <summary>The plainest generation there is: always the best token, with a cache, never stopping.</summary>
internal static class GreedyDecoding
{
    /// <param name="ids">[batch, seq] int64, left-padded</param>
    /// <param name="mask">[batch, seq] int64</param>
    /// <returns>Ids [batch, seq + steps] and the logits of each step [batch, steps, vocab].</returns>
    public static (Tensor Ids, Tensor Logits) Run(LoadedModel model, Tensor ids, Tensor mask, int steps)
    {
        using var scope = NewDisposeScope();
        using var nothing = no_grad();
        using KeyValueCache cache = model.NewCache();
        List<Tensor> all = [ids], logits = [];
        Tensor next = ids, positions = Positions(mask);                                     // [batch, seq]
        for (int step = 0; step < steps; step++)
        {
            ModelOutput output = model.Root.Call(next, mask, positions, cache, logitsToKeep: 1);
            var last = (Tensor)output["logits"]!;                                           // [batch, 1, vocab]
            next = last.argmax(-1);                                                         // [batch, 1]
            logits.Add(last);
            all.Add(next);
            mask = cat([mask, ones_like(next)], 1);                                         // [batch, seq + step + 1]
            positions = positions.narrow(1, positions.size(1) - 1, 1) + 1;                  // [batch, 1]
        }
        return (cat(all, 1).MoveToOuterDisposeScope(), cat(logits, 1).MoveToOuterDisposeScope());
    }

    /// <summary>Where each token stands in its row, padding not counted: [batch, seq].</summary>
    public static Tensor Positions(Tensor mask) => (mask.cumsum(1) - 1).clamp_min(0);
}
