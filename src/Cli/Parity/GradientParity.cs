using System.Text.Json;
using Ndif.Models;
using Ndif.Models.Loading;
using static TorchSharp.torch;

namespace Ndif.Cli.Parity;

/// <summary>
/// Compares gradients of two scalars, the sum of the logits and the next-token cross entropy, with respect to module outputs and
/// parameters.
/// </summary>
internal static class GradientParity
{
    /// <summary>No gradient of an output is judged finer than this part of the largest one.</summary>
    private const double RelativeNoiseFloor = 1e-4;

    /// <summary>
    /// How many roundings of float32 a sum may be off, as a part of the sum of its terms' magnitudes. Adding n numbers costs up to n
    /// roundings of that (Higham, Accuracy and Stability of Numerical Algorithms, section 4.2), and there are about this many of them,
    /// tokens, in a reference; each term brings a few roundings of its own.
    /// </summary>
    private const double MaxRoundings = 32;

    /// <summary>The largest relative error of one rounding to float32: 2⁻²⁴.</summary>
    private const double UnitRoundoff = 1.0 / (1 << 24);

    /// <returns>The largest difference relative to the reference's largest magnitude; null if there is no reference.</returns>
    public static double? Compare(Golden golden, List<string> problems)
    {
        double? largest = null;
        foreach (string kind in (string[])["grad_sum", "grad_loss"])
        {
            if (golden.Find($"{kind}.value") is not { } value) continue;
            using var scope = NewDisposeScope();
            using LoadedModel model = ModelLoader.Load(golden.Folder);
            foreach (Parameter parameter in WeightBinding.Parameters(model.Root).Values) parameter.Value.requires_grad_(true);
            using CallRecorder recorder = new(gradients: true);
            using (enable_grad())
            {
                Tensor ids = golden["input_ids"]; // [1, seq]
                var logits = (Tensor)recorder.Run(model, () => CheckpointParity.Forward(model, ids, ones_like(ids), null))["logits"]!;
                Tensor scalar = kind == "grad_sum" ? logits.sum() : Loss(logits, ids);
                scalar.backward();
                largest = Math.Max(largest ?? 0, Difference.Relative(scalar.reshape(-1), value.reshape(-1), floor: 1));
            }
            largest = Max(largest, CompareOutputs(kind, golden, recorder, problems), CompareWeights(kind, golden, model, recorder, problems));
        }
        return largest;
    }

    private static double CompareOutputs(string kind, Golden golden, CallRecorder recorder, List<string> problems)
    {
        double largest = 0;
        string[] names = [.. golden.Names.Where(n => n.StartsWith(kind + "/", StringComparison.Ordinal))];
        double floor = RelativeNoiseFloor * names.Select(n => Difference.Magnitude(golden[n])).DefaultIfEmpty(0).Max();
        foreach (string name in names)
        {
            string path = name[(kind.Length + 1)..];
            using Tensor? gradient = recorder.Find(path)?.Output?.grad;
            if (gradient is null) problems.Add($"{kind}: the output of `{path}` has no gradient");
            else largest = Math.Max(largest, Difference.Relative(gradient, golden[name], floor));
        }
        return largest;
    }

    private static double CompareWeights(string kind, Golden golden, LoadedModel model, CallRecorder recorder, List<string> problems)
    {
        if (!golden.Json.TryGetProperty($"{kind}_params", out JsonElement digests)) return 0;
        Dictionary<string, Parameter> parameters = WeightBinding.Parameters(model.Root);
        (string Path, Digest Digest)[] references = [.. digests.EnumerateObject().Where(p => p.Value.ValueKind == JsonValueKind.Object)
            .Select(p => (p.Name, Digest.Read(p.Value)))];
        double largest = 0;
        foreach (var (path, reference) in references)
        {
            using Tensor? gradient = parameters.GetValueOrDefault(path)?.Value.grad;
            if (gradient is null) problems.Add($"{kind}: the parameter `{path}` has no gradient");
            else largest = Math.Max(largest, Difference.Ratio(Digest.Of(gradient).Difference(reference),
                Math.Max(reference.Magnitude, Floor(path, gradient, recorder))));
        }
        return largest;
    }

    /// <summary>
    /// The magnitude below which the gradient of a bias or of a linear layer's weight is not judged. It is a sum over all tokens, and
    /// where the terms cancel, rounding is all that is left: softmax does not see what is added to all keys of a query alike, so without
    /// rotary positions the gradient of a key's bias is zero in exact arithmetic, and PyTorch's own is noise too (OPT). The floor is such
    /// that what passes is at most <see cref="MaxRoundings"/> roundings of the sum of the terms' magnitudes away. Zero for every other
    /// parameter: those are judged relative to the reference alone.
    /// </summary>
    private static double Floor(string path, Tensor gradient, CallRecorder recorder)
    {
        using var scope = NewDisposeScope();
        using var nothing = no_grad();
        if (recorder.Find(path[..path.LastIndexOf('.')]) is not { Output.grad: { } output } call) return 0;
        Tensor slopes = output.abs().reshape(-1, output.size(-1));                              // [seq, outFeatures]
        Tensor? terms = null;
        if (gradient.dim() == 1 && path.EndsWith(".bias", StringComparison.Ordinal)) terms = slopes.sum([0L]); // [outFeatures]
        else if (gradient.dim() == 2 && call is { Module.ClassName: "Linear" or "FalconLinear" or "Conv1D", Input: { } input })
        {
            Tensor inputs = input.detach().abs().reshape(-1, input.size(-1));                   // [seq, inFeatures]
            terms = call.Module.ClassName == "Conv1D" ? inputs.T.mm(slopes) : slopes.T.mm(inputs); // as the weight
        }
        return terms is null || !terms.shape.AsSpan().SequenceEqual(gradient.shape) ? 0
            : MaxRoundings * UnitRoundoff * Difference.Magnitude(terms) / ParityResult.GradientTolerance;
    }

    /// <summary>The mean cross entropy of each next token.</summary>
    private static Tensor Loss(Tensor logits, Tensor ids)
    {
        Tensor predictions = logits.narrow(1, 0, ids.size(1) - 1).flatten(0, 1);    // [seq - 1, vocab]
        Tensor targets = ids.narrow(1, 1, ids.size(1) - 1).flatten();               // [tokens - 1]
        return nn.functional.cross_entropy(predictions, targets);
    }

    private static double? Max(double? first, params double[] others) => others.Append(first ?? 0).Max();
}
