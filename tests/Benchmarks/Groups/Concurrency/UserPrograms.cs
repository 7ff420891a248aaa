using static TorchSharp.torch;

namespace Ndif.Benchmarks.Groups.Concurrency;

/// <summary>
/// What different users do to the same number of new tokens: steer, ablate a head, read a lens, cache a layer, sample. No two of them
/// touch the same layer in the same way.
/// </summary>
internal static class UserPrograms
{
    /// <summary>The kinds of program, in the order in which <see cref="Record"/> takes them in turn.</summary>
    public static readonly string[] Kinds = ["steer", "ablate a head", "lens", "cache", "sample"];

    /// <summary>The program of one user.</summary>
    /// <param name="kind">An index of <see cref="Kinds"/>.</param>
    public static Protocol.Program Record(ServedModel model, int kind, int user, int[] prompt, int newTokens)
    {
        LanguageModel llm = model.Client;
        Envoy layer = llm.Layers[(5 * user + 2) % model.NumLayers];
        GenerationOptions options = kind == 4
            ? new() { IgnoreEos = true, DoSample = true, Temperature = 0.8, TopK = 40, Seed = user } : new() { IgnoreEos = true };
        using Trace trace = llm.Generate(prompt, newTokens, options);
        switch (kind)
        {
            case 0:
                using (Tensor direction = randn(model.HiddenSize))
                {
                    Value steering = direction.data<float>().ToArray();
                    foreach (int step in trace.Iter[..]) layer.Hidden[.., ^1] += steering * (0.05 * (user + 1));
                }
                break;
            case 1:
                int headDim = model.HiddenSize / model.NumHeads, head = user % model.NumHeads;
                Envoy output = layer.Attn[model.IsLlama ? "o_proj" : "c_proj"];
                foreach (int step in trace.Iter[..]) output.Input[.., .., (head * headDim)..((head + 1) * headDim)] = 0;
                break;
            case 2:
                ValueList lens = trace.List();
                lens.Save();
                foreach (int step in trace.Iter[..])
                    lens.Append(llm.LmHead.Call(llm.FinalNorm.Call(layer.Hidden[.., ^1])).ArgMax(-1));
                break;
            case 3:
                trace.Cache([layer]);
                break;
        }
        trace.Result.Save();
        return trace.ToProgram();
    }
}
