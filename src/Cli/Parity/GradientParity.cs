using System.Text.Json;
using Ndif.Models;
using static TorchSharp.torch;

namespace Ndif.Cli.Parity;

/// <summary>
/// Compares gradients of two scalars, the sum of the logits and the next-token cross entropy, with respect to module outputs and
/// parameters.
/// </summary>
internal static class GradientParity
{
    /// <summary>
    /// What is zero in exact arithmetic (a key's bias, which softmax does not see) has a gradient of rounding noise alone; no gradient is
    /// judged finer than this part of the largest one.
    /// </summary>
    private const double Noise = 1e-4;

    /// <returns>The largest difference relative to the reference's largest magnitude; null if there is no reference.</returns>
    public static double? Compare(Golden golden, List<string> problems)
    {
        double? largest = null;
        foreach (string kind in (string[])["grad_sum", "grad_loss"])
        {
            if (golden.Find($"{kind}.value") is not { } value) continue;
            using var scope = NewDisposeScope();
            using LoadedModel model = ModelLoader.Load(golden.Folder);
            foreach (Parameter parameter in Parameters(model).Values) parameter.Value.requires_grad_(true);
            using CallRecorder recorder = new(gradients: true);
            using (enable_grad())
            {
                Tensor ids = golden["input_ids"]; // [1, tokens]
                var logits = (Tensor)recorder.Run(model, () => CheckpointParity.Forward(model, ids, ones_like(ids), null))["logits"]!;
                Tensor scalar = kind == "grad_sum" ? logits.sum() : Loss(logits, ids);
                scalar.backward();
                largest = Math.Max(largest ?? 0, Difference.Relative(scalar.reshape(-1), value.reshape(-1), floor: 1));
            }
            largest = Max(largest, Outputs(kind, golden, recorder, problems), Weights(kind, golden, model, problems));
        }
        return largest;
    }

    private static double Outputs(string kind, Golden golden, CallRecorder recorder, List<string> problems)
    {
        double largest = 0;
        string[] names = [.. golden.Names.Where(n => n.StartsWith(kind + "/", StringComparison.Ordinal))];
        double floor = Noise * names.Select(n => Difference.Magnitude(golden[n])).DefaultIfEmpty(0).Max();
        foreach (string name in names)
        {
            string path = name[(kind.Length + 1)..];
            using Tensor? gradient = recorder.Find(path)?.Output?.grad;
            if (gradient is null) problems.Add($"{kind}: the output of `{path}` has no gradient");
            else largest = Math.Max(largest, Difference.Relative(gradient, golden[name], floor));
        }
        return largest;
    }

    private static double Weights(string kind, Golden golden, LoadedModel model, List<string> problems)
    {
        if (!golden.Json.TryGetProperty($"{kind}_params", out JsonElement digests)) return 0;
        Dictionary<string, Parameter> parameters = Parameters(model);
        (string Path, Digest Digest)[] references = [.. digests.EnumerateObject().Where(p => p.Value.ValueKind == JsonValueKind.Object)
            .Select(p => (p.Name, Digest.Read(p.Value)))];
        double floor = Noise * references.Select(r => r.Digest.Magnitude).DefaultIfEmpty(0).Max(), largest = 0;
        foreach (var (path, reference) in references)
        {
            using Tensor? gradient = parameters.GetValueOrDefault(path)?.Value.grad;
            if (gradient is null) problems.Add($"{kind}: the parameter `{path}` has no gradient");
            else largest = Math.Max(largest,
                Difference.Ratio(Digest.Of(gradient).Difference(reference), Math.Max(reference.Magnitude, floor)));
        }
        return largest;
    }

    /// <summary>The mean cross entropy of each next token.</summary>
    private static Tensor Loss(Tensor logits, Tensor ids)
    {
        Tensor predictions = logits.narrow(1, 0, ids.size(1) - 1).flatten(0, 1);    // [tokens - 1, vocabulary]
        Tensor targets = ids.narrow(1, 1, ids.size(1) - 1).flatten();               // [tokens - 1]
        return nn.functional.cross_entropy(predictions, targets);
    }

    /// <summary>By path, one that is shared under each of its names.</summary>
    private static Dictionary<string, Parameter> Parameters(LoadedModel model) =>
        model.Modules.SelectMany(m => m.Parameters.Select(p => (Path: $"{m.Path}.{p.Name}", Parameter: p)))
            .ToDictionary(p => p.Path, p => p.Parameter);

    private static double? Max(double? first, params double[] others) => others.Append(first ?? 0).Max();
}
