using System.Text.Json;
using Ndif.Models;
using Ndif.Models.Config;
using Ndif.Models.Loading;
using Ndif.Protocol;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Cli.Parity;

/// <summary>Compares the outputs of one checkpoint with the reference outputs of Hugging Face transformers.</summary>
internal sealed class CheckpointParity
{
    private readonly GoldenOutputs _golden;
    private readonly LoadedModel _model;
    private readonly ParityResult _result;
    private readonly List<string> _problems = [];

    private CheckpointParity(GoldenOutputs golden, LoadedModel model, ParityResult result) =>
        (_golden, _model, _result) = (golden, model, result);

    /// <summary>Compares a checkpoint. A failure, such as a file that cannot be read, is reported in the result and not thrown.</summary>
    /// <param name="folder">The folder with the checkpoint and its reference outputs.</param>
    /// <param name="tokenize">Encodes a text with the tokenizer of a folder; null to skip the tokenizer.</param>
    public static ParityResult Run(string folder, Func<string, string, IReadOnlyList<int>>? tokenize)
    {
        ParityResult result = new() { Name = Path.GetFileName(Path.TrimEndingDirectorySeparator(Path.GetFullPath(folder))) };
        try
        {
            using var scope = NewDisposeScope();
            using GoldenOutputs golden = new(folder);
            if (FormParity.IsForm(golden))
            {
                FormParity.Compare(golden, result);
                return result;
            }
            result.Architecture = golden.Json.GetProperty("architecture").GetString()!;
            result.ReferenceError = golden.Json.TryGetProperty("float64_max_diff", out JsonElement error)
                && error.ValueKind == JsonValueKind.Number ? error.GetDouble() : 0;
            using LoadedModel model = ModelLoader.Load(folder, ScalarType.Float32);
            CheckpointParity parity = new(golden, model, result);
            try
            {
                parity.Compare(tokenize);
            }
            finally
            {
                if (parity._problems.Count > 0) result.Error = string.Join("\n", parity._problems.Take(5));
            }
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            Error error = Errors.FromException(e);
            string message = error.Code == ErrorCode.Internal ? $"{e.GetType().Name}: {e.Message}" : ErrorText.Format(error);
            result.Error = result.Error is null ? message : $"{result.Error}\n{message}";
        }
        return result;
    }

    private void Compare(Func<string, string, IReadOnlyList<int>>? tokenize)
    {
        _result.Tree = CompareTree();
        using (no_grad())
        {
            ComparePass();
            CompareLegacyConfig();
            _result.Batch = CompareBatch();
            _result.Greedy = CompareGreedy();
        }
        _result.Gradients = GradientParity.Compare(_golden, _problems);
        if (tokenize is not null) _result.Tokenizer = CompareTokenizer(tokenize);
    }

    /// <summary>
    /// Compares the printed module tree, the class and extra_repr of each module, and the shape of each parameter. The parts of a
    /// multimodal model that are not there are left out of the reference.
    /// </summary>
    private bool CompareTree()
    {
        IReadOnlyList<string> ignored = _model.Root.IgnoredPrefixes;
        bool same = true;
        if (ignored.Count == 0)
        {
            string printed = ModulePrinter.Print(WithoutVirtual(_model.Description.Root));
            string expected = File.ReadAllText(Path.Combine(_golden.Folder, "repr.txt"));
            same = IsSame("the printed tree", printed.Split('\n'), expected.ReplaceLineEndings("\n").TrimEnd('\n').Split('\n'));
        }
        same &= IsSame("the modules",
            _model.Modules.Where(m => !m.IsVirtual).Select(m => DescribeModule(m.Path, m.ClassName, m.ExtraRepr)),
            _golden.Json.GetProperty("named_modules").EnumerateArray().Where(m => !IsIgnored(Text(m, "name")))
                .Select(m => DescribeModule(Text(m, "name"), Text(m, "class"), Text(m, "extra_repr"))));
        HashSet<Parameter> seen = []; // named_parameters() returns a shared parameter once
        return same & IsSame("the parameters",
            _model.Modules.SelectMany(m => m.Parameters.Where(p => !p.IsBuffer && seen.Add(p))
                .Select(p => $"{m.Path}.{p.Name} [{string.Join(", ", p.Shape)}]")),
            _golden.Json.GetProperty("named_parameters").EnumerateObject().Where(p => !IsIgnored(p.Name))
                .Select(p => $"{p.Name} [{string.Join(", ", p.Value.EnumerateArray().Select(s => s.GetInt64()))}]"));

        bool IsIgnored(string name) => ignored.Any(prefix => $"{name}.".StartsWith(prefix, StringComparison.Ordinal));
    }

    /// <summary>The tree of Hugging Face, which has no modules for experts.</summary>
    private static ModuleInfo WithoutVirtual(ModuleInfo module)
    {
        ModuleInfo[] children = [.. module.Children.Where(child => !child.Virtual).Select(WithoutVirtual)];
        ModuleInfo copy = module.Clone();
        copy.Children.Clear();
        copy.Children.AddRange(children);
        return copy;
    }

    // Conv1D of transformers overrides __repr__ and not extra_repr.
    private static string DescribeModule(string path, string className, string extraRepr) =>
        className == "Conv1D" ? $"{path} {className}" : $"{path} {className}({extraRepr})";

    private static string Text(JsonElement json, string key) => json.GetProperty(key).GetString()!;

    /// <summary>Runs one forward pass over `input_ids` and compares the logits, the hidden states and each module call.</summary>
    private void ComparePass()
    {
        Tensor ids = _golden["input_ids"]; // [1, seq]
        using CallRecorder recorder = new();
        using KeyValueCache cache = _model.NewCache();
        ModelOutput output = recorder.Run(_model, () => Forward(_model, _golden, ids, ones_like(ids), cache));
        _result.Logits = CompareOutput(output);
        _result.Hidden = CompareHidden(recorder);
        _result.Calls = CompareCalls(recorder);
    }

    /// <summary>
    /// Compares the logits, or what a model without a head returns in their place.
    /// </summary>
    private double CompareOutput(ModelOutput output) => ((string[])["logits", "last_hidden_state", "pooler_output"])
        .Where(name => _golden.Find(name) is not null)
        .Max(name => TensorDifference.Absolute((Tensor)output[name]!, _golden[name]));

    private double CompareHidden(CallRecorder recorder) => CompareHidden(_golden, "", _model, recorder);

    /// <summary>
    /// Compares hidden_states.k: the input of block k, or, for the last k, the output of the final norm. State-space models of transformers
    /// have the output of block k there, and a model with several residual streams, which the norm does not have, that of the last block.
    /// </summary>
    /// <param name="prefix">What the names of the reference's tensors begin with.</param>
    internal static double CompareHidden(GoldenOutputs golden, string prefix, LoadedModel model, CallRecorder recorder)
    {
        StandardNames names = model.Root.Names;
        double largest = 0;
        for (int k = 0; golden.Find($"{prefix}hidden_states.{k}") is { } reference; k++)
        {
            RecordedCall? block = recorder.Find($"{names.Layers}.{k}");
            Tensor?[] candidates = block is null
                ? [recorder.Find(names.FinalNorm)?.Output is { } norm && norm.shape.SequenceEqual(reference.shape) ? norm
                    : recorder.Find($"{names.Layers}.{k - 1}")?.Output]
                : [block.Input, block.Output];
            largest = Math.Max(largest, candidates.OfType<Tensor>().Where(c => c.shape.SequenceEqual(reference.shape))
                .Select(c => TensorDifference.Absolute(c, reference)).DefaultIfEmpty(TensorDifference.Infinite).Min());
        }
        return largest;
    }

    private double CompareCalls(CallRecorder recorder)
    {
        JsonElement[][] references = [.. GroupAdjacent(_golden.Json.GetProperty("calls").EnumerateArray(), c => Text(c, "name"))];
        RecordedCall[][] calls = [.. GroupAdjacent(recorder.Calls, c => c.Module.Path)];
        if (!IsSame("the calls", calls.Select(c => c[0].Module.Path), references.Select(r => Text(r[0], "name"))))
            return TensorDifference.Infinite;

        StandardNames names = _model.Root.Names;
        double largest = 0;
        for (int i = 0; i < calls.Length; i++)
        {
            double difference = CompareCallsOfModule(calls[i], references[i]);
            if (difference > _result.Tolerance && largest <= _result.Tolerance)
                _problems.Add($"`{calls[i][0].Module.Path}` is the first call that differs");
            largest = Math.Max(largest, difference);
        }
        for (int layer = 0; _golden.Find($"attentions.{layer}") is { } probabilities; layer++)
            if (recorder.Find($"{names.Layers}.{layer}.{names.Attention}")?.Element(1) is { } actual)
                largest = Math.Max(largest, TensorDifference.Absolute(actual, probabilities));
        return largest;
    }

    /// <summary>
    /// Compares the adjacent calls of one module. Where transformers makes them in the order of a Python set, any order passes; where it
    /// calls an activation once for each expert and this engine once for all, the sums are compared.
    /// </summary>
    private double CompareCallsOfModule(RecordedCall[] calls, JsonElement[] references)
    {
        if (calls.Length == 1 && references.Length > 1)
        {
            TensorDigest all = TensorDigest.Combine(references.Select(FindDigest).OfType<TensorDigest>());
            return TensorDigest.Of(calls[0].Output!).MaxDifference(all);
        }
        if (calls.Length != references.Length)
        {
            _problems.Add($"`{calls[0].Module.Path}` is called {calls.Length} times, not {references.Length}");
            return TensorDifference.Infinite;
        }
        (double difference, List<string> problems) = CompareInOrder(calls, references);
        if (calls.Length > 1 && (difference > _result.Tolerance || problems.Count > 0)
            && CompareInOrder([.. calls.Reverse()], references) is var reversed && reversed.Difference < difference)
            (difference, problems) = reversed;
        _problems.AddRange(problems);
        return difference;
    }

    private (double Difference, List<string> Problems) CompareInOrder(RecordedCall[] calls, JsonElement[] references)
    {
        double largest = 0;
        List<string> problems = [];
        for (int i = 0; i < references.Length; i++)
        {
            (RecordedCall actual, string path, string layers) = (calls[i], calls[i].Module.Path, $"{_model.Root.Names.Layers}.");
            bool isBlock = path.StartsWith(layers, StringComparison.Ordinal) && !path[layers.Length..].Contains('.');
            if (CallStructure.Compare(actual, references[i], isBlock, isModel: actual.Result is ModelOutput) is { } difference)
                problems.Add($"`{path}` {difference}");
            // The digest was recorded at the end of the call, but the whole tensor (of the first call of a module) at the end of the
            // pass. Where transformers adds to a tensor in place (FalconDecoderLayer, to the output of its mlp), the two differ, and
            // only the digest is the output of the module.
            TensorDigest? digest = FindDigest(references[i]);
            if (digest is not null) largest = Math.Max(largest, TensorDigest.Of(actual.Output!).MaxDifference(digest));
            if (i == 0 && _golden.Find($"output/{path}") is { } output
                && (digest is null || TensorDigest.Of(output).MaxDifference(digest) <= _result.Tolerance))
                largest = Math.Max(largest, TensorDifference.Absolute(actual.Output!, output));
        }
        return (largest, problems);
    }

    private static TensorDigest? FindDigest(JsonElement call) =>
        call.TryGetProperty("digest", out JsonElement json) && json.ValueKind == JsonValueKind.Object ? TensorDigest.Read(json) : null;

    private static IEnumerable<T[]> GroupAdjacent<T>(IEnumerable<T> items, Func<T, string> keyOf)
    {
        List<T> group = [];
        foreach (T item in items)
        {
            if (group.Count > 0 && keyOf(group[0]) != keyOf(item))
            {
                yield return [.. group];
                group.Clear();
            }
            group.Add(item);
        }
        if (group.Count > 0) yield return [.. group];
    }

    /// <summary>Compares the logits of the same model with a config in the format of transformers 4.</summary>
    private void CompareLegacyConfig()
    {
        string path = Path.Combine(_golden.Folder, "config_v4.json");
        if (!File.Exists(path)) return;
        using LoadedModel other = ModelLoader.Load(_model.Folder, ConfigReader.Open(path), ScalarType.Float32);
        Tensor ids = _golden["input_ids"]; // [1, seq]
        _result.Logits = Math.Max(_result.Logits ?? 0, CompareOutput(Forward(other, _golden, ids, ones_like(ids), null)));
    }

    /// <summary>
    /// Compares padded batches at the positions of tokens, not of padding. The reference run passed no position ids. Models with learned
    /// position embeddings then count the padding, which changes the logits, so the reference must equal a pass with such positions or
    /// one with positions that do not count the padding. In addition, with positions that do not count the padding, a left-padded row
    /// must have the logits of the right-padded row, and no other reference if transformers ignores the padding.
    /// </summary>
    private double? CompareBatch()
    {
        string output = Output(_model.Root.Task);
        double? largest = null;
        if (_golden.Find($"batch.left.{output}") is { } left)
        {
            Tensor ids = _golden["batch.left.input_ids"], mask = _golden["batch.left.attention_mask"];      // [batch, seq]
            Tensor paddedPositions = arange(ids.size(1)).expand(ids.shape);                                 // [batch, seq]
            var actual = (Tensor)Forward(_model, ids, mask, null)[output]!;                                 // [batch, seq, vocab]
            var countingPadding = (Tensor)_model.Root.Call(new(ids, mask, paddedPositions))[output]!;       // [batch, seq, vocab]
            largest = IgnoresPadding ? 0
                : Math.Min(DifferenceOfTokens(actual, left, mask), DifferenceOfTokens(countingPadding, left, mask));
            if (_golden.Find($"batch.right.{output}") is { } rightPadded && rightPadded.dim() == actual.dim())
                largest = Math.Max(largest.Value, actual.dim() == 2 ? TensorDifference.Absolute(actual, rightPadded)
                    : TensorDifference.Absolute(actual[0][mask[0].to(ScalarType.Bool)], rightPadded[0]));
        }
        if (_golden.Find($"batch.right.{output}") is { } right)
        {
            Tensor ids = _golden["batch.right.input_ids"], mask = _golden["batch.right.attention_mask"];    // [batch, seq]
            var actual = (Tensor)Forward(_model, _golden, ids, mask, null)[output]!;                                // [batch, seq, vocab]
            if (right.dim() < actual.dim()) actual = actual[mask.to(ScalarType.Bool)];                    // [tokens, vocab]
            else if (actual.dim() > 2) actual = actual.narrow(0, 0, 1).narrow(1, 0, right.size(1));         // [1, tokens, vocab]
            largest = Math.Max(largest ?? 0, TensorDifference.Absolute(actual, right));
        }
        return largest;
    }

    /// <summary>The difference of a batch's output [batch, seq, ...] where there is no padding, or of its [batch, labels].</summary>
    private static double DifferenceOfTokens(Tensor actual, Tensor reference, Tensor mask)
    {
        Tensor isToken = mask.to(ScalarType.Bool);                                                          // [batch, seq]
        return reference.dim() > 2 ? TensorDifference.Absolute(actual[isToken], reference[isToken])
            : TensorDifference.Absolute(actual, reference);
    }

    /// <summary>The name of a model's first output.</summary>
    private static string Output(ModelTask task) => task is ModelTask.FeatureExtraction ? "last_hidden_state" : "logits";

    /// <summary>
    /// Compares the ids of greedy decoding for one row and for the left-padded batch. The difference of the row's logits is part of
    /// <see cref="ParityResult.Logits"/>.
    /// </summary>
    private bool? CompareGreedy()
    {
        if (_golden.Find("generate.ids") is not { } expected) return null;
        Tensor ids = _golden["input_ids"]; // [1, seq]
        (Tensor single, Tensor logits) = GreedyDecoding.Run(_model, ids, ones_like(ids), (int)(expected.size(1) - ids.size(1)));
        bool same = single.Equals(expected);
        if (_golden.Find("generate.logits") is { } reference && same)
            _result.Logits = Math.Max(_result.Logits ?? 0, TensorDifference.Absolute(logits, reference));
        if (_golden.Find("batch.left.generate.ids") is { } batch)
        {
            Tensor batchIds = _golden["batch.left.input_ids"]; // [batch, seq]
            int steps = (int)(batch.size(1) - batchIds.size(1));
            Tensor mask = _golden["batch.left.attention_mask"]; // [batch, seq]
            Tensor actual = GreedyDecoding.Run(_model, batchIds, mask, steps).Ids; // [batch, seq + steps]
            same &= IgnoresPadding ? IsTextAlone(actual, batchIds, mask, steps) : actual.Equals(batch);
        }
        return same;
    }

    /// <summary>
    /// Whether the text of a padded row in the reference run is not its text alone, because a recurrence sees the padding.
    /// </summary>
    private bool IgnoresPadding =>
        _golden.Json.TryGetProperty("batch_generate_row0_same_as_alone", out JsonElement same) && same.ValueKind == JsonValueKind.False;

    /// <summary>Whether each row of a padded batch has the text that the row has alone.</summary>
    private bool IsTextAlone(Tensor actual, Tensor ids, Tensor mask, int steps) => Enumerable.Range(0, (int)ids.size(0)).All(row =>
    {
        long padding = ids.size(1) - mask[row].sum().item<long>();
        Tensor own = ids.narrow(0, row, 1).narrow(1, padding, ids.size(1) - padding); // [1, tokens]
        Tensor text = actual.narrow(0, row, 1).narrow(1, padding, own.size(1) + steps);  // [1, tokens + steps]
        return GreedyDecoding.Run(_model, own, ones_like(own), steps).Ids.Equals(text);
    });

    private bool? CompareTokenizer(Func<string, string, IReadOnlyList<int>> tokenize)
    {
        if (!_golden.Json.TryGetProperty("text_ids", out JsonElement ids)) return null;
        IReadOnlyList<int> actual = tokenize(_golden.Folder, Text(_golden.Json, "text"));
        return IsSame("the token ids", actual.Select(i => $"{i}"), ids.EnumerateArray().Select(i => $"{i}"));
    }

    /// <summary>A forward pass over an input of the reference, with its types of tokens: the same in each row.</summary>
    internal static ModelOutput Forward(LoadedModel model, GoldenOutputs golden, Tensor ids, Tensor mask, KeyValueCache? cache) =>
        model.Root.Call(new(ids, mask, GreedyDecoding.Positions(mask), cache)
        {
            TokenTypeIds = golden.Find("token_type_ids")?.expand(ids.shape),
        });

    internal static ModelOutput Forward(LoadedModel model, Tensor ids, Tensor mask, KeyValueCache? cache) =>
        model.Root.Call(new(ids, mask, GreedyDecoding.Positions(mask), cache));

    /// <summary>Compares two lists and adds the first difference to the problems.</summary>
    private bool IsSame(string subject, IEnumerable<string> actual, IEnumerable<string> reference)
    {
        string[] actualItems = [.. actual], expectedItems = [.. reference];
        for (int i = 0; i < Math.Max(actualItems.Length, expectedItems.Length); i++)
        {
            string? actualItem = actualItems.ElementAtOrDefault(i), expectedItem = expectedItems.ElementAtOrDefault(i);
            if (actualItem == expectedItem) continue;
            _problems.Add($"{subject}: item {i} is `{actualItem ?? "missing"}`, not `{expectedItem ?? "absent"}`");
            return false;
        }
        return true;
    }
}
