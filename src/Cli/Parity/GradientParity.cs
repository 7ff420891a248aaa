using System.Text.Json;
using Ndif.Models;
using Ndif.Models.Loading;
using Ndif.Protocol;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Cli.Parity;

/// <summary>
/// Compares the gradients of two scalars, the sum of the logits and the next-token cross entropy, with respect to the outputs of modules
/// and to parameters.
/// </summary>
internal static class GradientParity
{
    /// <summary>
    /// The difference of an output's gradient is relative to its own magnitude, but at least to this fraction of the largest gradient.
    /// </summary>
    private const double RelativeNoiseFloor = 1e-4;

    /// <summary>
    /// The tolerance of a sum in units of float32 roundings of the sum of its terms' magnitudes. The error of adding n numbers is at most
    /// n such roundings (Higham, Accuracy and Stability of Numerical Algorithms, section 4.2). A gradient sums over tokens, of which a
    /// reference has about this many; each term adds a few more roundings.
    /// </summary>
    private const double MaxRoundings = 32;

    /// <summary>The largest relative error of one rounding to float32: 2⁻²⁴.</summary>
    private const double UnitRoundoff = 1.0 / (1 << 24);

    /// <summary>Compares the gradients of a checkpoint.</summary>
    /// <returns>The largest difference relative to the largest magnitude of the reference; null if there is no reference.</returns>
    public static double? Compare(GoldenOutputs golden, List<string> problems)
    {
        double? largest = null;
        foreach (string kind in (string[])["grad_sum", "grad_loss"])
        {
            if (golden.Find($"{kind}.value") is not { } value) continue;
            using var scope = NewDisposeScope();
            using LoadedModel model = ModelLoader.Load(golden.Folder, ScalarType.Float32);
            foreach (Parameter parameter in WeightBinding.Parameters(model.Root).Values)
                if (!parameter.IsBuffer) parameter.Value.requires_grad_(true);
            using CallRecorder recorder = new(gradients: true);
            using (enable_grad())
            {
                Tensor ids = golden["input_ids"]; // [1, seq]
                ModelOutput output = recorder.Run(model, () => CheckpointParity.Forward(model, golden, ids, ones_like(ids), null));
                var first = output.Entries.Select(entry => entry.Value).OfType<Tensor>().First(); // logits, or hidden states
                Tensor scalar = kind == "grad_sum" ? first.sum() : Loss(model, first, golden.Find("decoder_input_ids") ?? ids);
                scalar.backward();
                largest = Math.Max(largest ?? 0, TensorDifference.Relative(scalar.reshape(-1), value.reshape(-1), floor: 1));
            }
            largest = Max(largest,
                CompareOutputs(kind, golden, recorder, problems),
                CompareParameters(kind, golden, model, recorder, problems));
        }
        return largest;
    }

    private static double CompareOutputs(string kind, GoldenOutputs golden, CallRecorder recorder, List<string> problems)
    {
        double largest = 0;
        string[] names = [.. golden.Names.Where(n => n.StartsWith(kind + "/", StringComparison.Ordinal))];
        double floor = RelativeNoiseFloor * names.Select(n => TensorDifference.Magnitude(golden[n])).DefaultIfEmpty(0).Max();
        foreach (string name in names)
        {
            string path = name[(kind.Length + 1)..];
            using Tensor? gradient = recorder.Find(path)?.Output?.grad;
            if (gradient is null) problems.Add($"{kind}: the output of `{path}` has no gradient");
            else largest = Math.Max(largest, TensorDifference.Relative(gradient, golden[name], floor));
        }
        return largest;
    }

    private static double CompareParameters(
        string kind, GoldenOutputs golden, LoadedModel model, CallRecorder recorder, List<string> problems)
    {
        if (!golden.Json.TryGetProperty($"{kind}_params", out JsonElement digests)) return 0;
        Dictionary<string, Parameter> parameters = WeightBinding.Parameters(model.Root);
        (string Path, TensorDigest Digest)[] references = [.. digests.EnumerateObject()
            .Where(p => p.Value.ValueKind == JsonValueKind.Object)
            .Select(p => (p.Name, TensorDigest.Read(p.Value)))];
        double largest = 0;
        foreach (var (path, reference) in references)
        {
            using Tensor? gradient = parameters.GetValueOrDefault(path)?.Value.grad;
            if (gradient is null) problems.Add($"{kind}: the parameter `{path}` has no gradient");
            else largest = Math.Max(largest, TensorDifference.Ratio(TensorDigest.Of(gradient).MaxDifference(reference),
                Math.Max(reference.MagnitudeFor(gradient.numel()), Floor(path, gradient, recorder))));
        }
        return largest;
    }

    /// <summary>
    /// The smallest magnitude to which the difference of the gradient of a bias, or of the weight of a linear layer, is relative. Such a
    /// gradient is a sum over all tokens, and if the terms cancel, only rounding errors remain. For example, softmax does not change when
    /// the same value is added to all scores of a query, so without rotary embeddings the gradient of the bias of a key projection is zero
    /// in exact arithmetic, and the gradient that PyTorch computes is noise too (OPT). With this floor, a difference passes if it is at
    /// most <see cref="MaxRoundings"/> roundings of the sum of the terms' magnitudes. The floor of every other parameter is zero.
    /// </summary>
    private static double Floor(string path, Tensor gradient, CallRecorder recorder)
    {
        using var scope = NewDisposeScope();
        using var noGrad = no_grad();
        if (recorder.Find(path[..path.LastIndexOf('.')]) is not { Output.grad: { } output } call) return 0;
        Tensor outputGradients = output.abs().reshape(-1, output.size(-1));                     // [seq, outFeatures]
        Tensor? terms = null; // the shape of the gradient
        if (gradient.dim() == 1 && path.EndsWith(".bias", StringComparison.Ordinal))
            terms = outputGradients.sum([0L]);                                                  // [outFeatures]
        else if (gradient.dim() == 2 && call is { Module.ClassName: "Linear" or "FalconLinear" or "Conv1D", Input: { } input })
        {
            Tensor inputs = input.detach().abs().reshape(-1, input.size(-1));                   // [seq, inFeatures]
            terms = call.Module.ClassName == "Conv1D"
                ? inputs.T.mm(outputGradients)                                                  // [inFeatures, outFeatures]
                : outputGradients.T.mm(inputs);                                                 // [outFeatures, inFeatures]
        }
        return terms is null || !terms.shape.AsSpan().SequenceEqual(gradient.shape) ? 0
            : MaxRoundings * UnitRoundoff * TensorDifference.Magnitude(terms) / ParityResult.GradientTolerance;
    }

    /// <summary>The loss of the reference run for the task of the model.</summary>
    private static Tensor Loss(LoadedModel model, Tensor output, Tensor ids)
    {
        long seqLen = ids.size(1);
        switch (model.Root.Task)
        {
            case ModelTask.FeatureExtraction:
                return output.square().mean();
            case ModelTask.SequenceClassification when output.size(-1) == 1:
                return -nn.functional.logsigmoid(output).mean();
            case ModelTask.SequenceClassification:
                return nn.functional.cross_entropy(output, ones([1], ScalarType.Int64));
            case ModelTask.TokenClassification when output.dim() == 2: // one logit per token, of ELECTRA's discriminator
                Tensor isReplaced = (arange(seqLen) % 2).to(ScalarType.Float32).unsqueeze(0);                 // [1, seq]
                return nn.functional.binary_cross_entropy_with_logits(output, isReplaced);
            case ModelTask.TokenClassification:
                return nn.functional.cross_entropy(output.flatten(0, 1), arange(seqLen) % output.size(-1));
            case ModelTask.MaskedLm or ModelTask.Seq2SeqLm: // of the same token
                return nn.functional.cross_entropy(output.flatten(0, 1), ids.flatten());
            default: // the mean cross entropy of the next tokens
                Tensor predictions = output.narrow(1, 0, seqLen - 1).flatten(0, 1);                           // [seq - 1, vocab]
                return nn.functional.cross_entropy(predictions, ids.narrow(1, 1, seqLen - 1).flatten());
        }
    }

    private static double? Max(double? first, params double[] others) => others.Append(first ?? 0).Max();
}
