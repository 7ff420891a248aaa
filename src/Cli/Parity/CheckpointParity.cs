using System.Text.Json;
using Ndif.Models;
using Ndif.Models.Config;
using Ndif.Models.Loading;
using Ndif.Protocol;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Cli.Parity;

/// <summary>Compares one checkpoint with its reference outputs.</summary>
internal sealed class CheckpointParity
{
    private readonly Golden _golden;
    private readonly LoadedModel _model;
    private readonly ParityResult _result;
    private readonly List<string> _problems = [];

    private CheckpointParity(Golden golden, LoadedModel model, ParityResult result) => (_golden, _model, _result) = (golden, model, result);

    /// <summary>Never throws for what a checkpoint holds: a failure is in the result.</summary>
    public static ParityResult Run(string folder, Func<string, string, IReadOnlyList<int>>? tokenize)
    {
        ParityResult result = new() { Name = Path.GetFileName(Path.TrimEndingDirectorySeparator(Path.GetFullPath(folder))) };
        try
        {
            using var scope = NewDisposeScope();
            using Golden golden = new(folder);
            result.Architecture = golden.Json.GetProperty("architecture").GetString()!;
            using LoadedModel model = ModelLoader.Load(folder);
            CheckpointParity parity = new(golden, model, result);
            parity.Compare(tokenize);
            if (parity._problems.Count > 0) result.Error = string.Join("\n", parity._problems.Take(5));
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            result.Error = Errors.FromException(e).Code == ErrorCode.Internal ? $"{e.GetType().Name}: {e.Message}" : ErrorText.Format(Errors.FromException(e));
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

    /// <summary>The printed tree, every module's class and extra text, every parameter's shape, in order.</summary>
    private bool CompareTree()
    {
        string printed = ModulePrinter.Print(_model.Description.Root);
        string expected = File.ReadAllText(Path.Combine(_golden.Folder, "repr.txt"));
        // Conv1D prints its sizes without an extra_repr of its own
        static string Described(string path, string name, string extra) => name == "Conv1D" ? $"{path} {name}" : $"{path} {name}({extra})";
        bool same = Same("the printed tree", printed.Split('\n'), expected.ReplaceLineEndings("\n").TrimEnd('\n').Split('\n'));
        same &= Same("the modules",
            _model.Modules.Select(m => Described(m.Path, m.ClassName, m.ExtraRepr)),
            _golden.Json.GetProperty("named_modules").EnumerateArray()
                .Select(m => Described(Text(m, "name"), Text(m, "class"), Text(m, "extra_repr"))));
        HashSet<Parameter> seen = []; // PyTorch names a shared parameter once
        return same & Same("the parameters",
            _model.Modules.SelectMany(m => m.Parameters.Where(seen.Add).Select(p => $"{m.Path}.{p.Name} [{string.Join(", ", p.Shape)}]")),
            _golden.Json.GetProperty("named_parameters").EnumerateObject()
                .Select(p => $"{p.Name} [{string.Join(", ", p.Value.EnumerateArray().Select(s => s.GetInt64()))}]"));
    }

    private static string Text(JsonElement json, string key) => json.GetProperty(key).GetString()!;

    /// <summary>One pass over `input_ids`: logits, hidden states, every module call.</summary>
    private void ComparePass()
    {
        Tensor ids = _golden["input_ids"]; // [1, seq]
        using CallRecorder recorder = new();
        using KeyValueCache cache = _model.NewCache();
        recorder.Run(_model, () => Forward(_model, ids, ones_like(ids), cache));
        Tensor logits = recorder.Calls[^1].Output!;
        _result.Logits = Difference.Absolute(logits, _golden["logits"]);
        _result.Hidden = CompareHidden(recorder);
        _result.Calls = CompareCalls(recorder);
    }

    /// <summary>hidden_states.k is what block k was given; the last one is after the final norm.</summary>
    private double CompareHidden(CallRecorder recorder)
    {
        StandardNames names = _model.Root.Names;
        double largest = 0;
        for (int k = 0; _golden.Find($"hidden_states.{k}") is { } reference; k++)
        {
            Tensor? ours = recorder.Find($"{names.Layers}.{k}")?.Input ?? recorder.Find(names.FinalNorm)?.Output;
            largest = Math.Max(largest, ours is null ? Difference.Infinite : Difference.Absolute(ours, reference));
        }
        return largest;
    }

    private double CompareCalls(CallRecorder recorder)
    {
        JsonElement[] references = [.. _golden.Json.GetProperty("calls").EnumerateArray()];
        if (!Same("the calls", recorder.Calls.Select(c => c.Module.Path), references.Select(r => r.GetProperty("name").GetString()!)))
            return Difference.Infinite;

        StandardNames names = _model.Root.Names;
        double largest = 0;
        for (int i = 0; i < references.Length; i++)
        {
            RecordedCall ours = recorder.Calls[i];
            string path = ours.Module.Path;
            bool isBlock =
                path.StartsWith(names.Layers + ".", StringComparison.Ordinal) && !path[(names.Layers.Length + 1)..].Contains('.');
            if (CallStructure.Compare(ours, references[i], isBlock, isModel: ours.Result is ModelOutput) is { } difference)
                _problems.Add($"`{path}` {difference}");
            // The digest was taken at the call. The whole tensor is that of a module's first call, and of the end of the pass: where
            // Hugging Face's code adds to it in place afterwards (FalconDecoderLayer, to the mlp's), it is no longer what the module gave.
            Digest? called = references[i].TryGetProperty("digest", out JsonElement digest) && digest.ValueKind == JsonValueKind.Object
                ? Digest.Read(digest) : null;
            if (called is not null) largest = Math.Max(largest, Digest.Of(ours.Output!).Difference(called));
            if (_golden.Find($"output/{path}") is { } output
                && (called is null || Digest.Of(output).Difference(called) <= ParityResult.Tolerance))
                largest = Math.Max(largest, Difference.Absolute(ours.Output!, output));
        }
        for (int layer = 0; _golden.Find($"attentions.{layer}") is { } probabilities; layer++)
            if (recorder.Find($"{names.Layers}.{layer}.{names.Attention}")?.Element(1) is { } ours)
                largest = Math.Max(largest, Difference.Absolute(ours, probabilities));
        return largest;
    }

    /// <summary>The same model described in the older hub style gives the same logits.</summary>
    private void CompareLegacyConfig()
    {
        string path = Path.Combine(_golden.Folder, "config_v4.json");
        if (!File.Exists(path)) return;
        using LoadedModel other = ModelLoader.Load(_model.Folder, ConfigReader.Open(path));
        Tensor ids = _golden["input_ids"]; // [1, seq]
        var logits = (Tensor)Forward(other, ids, ones_like(ids), null)["logits"]!; // [1, seq, vocab]
        _result.Logits = Math.Max(_result.Logits ?? 0, Difference.Absolute(logits, _golden["logits"]));
    }

    /// <summary>
    /// Padded batches, compared where there is a token and not padding. The reference run was not told positions, and models with
    /// learned positions then count the padding, which changes the answer; that reference is met with such positions. What must hold in
    /// any case: with a row's own positions, the left-padded row gives what the right-padded one gives.
    /// </summary>
    private double? CompareBatch()
    {
        double? largest = null;
        if (_golden.Find("batch.left.logits") is { } left)
        {
            Tensor ids = _golden["batch.left.input_ids"], mask = _golden["batch.left.attention_mask"];      // [batch, seq]
            Tensor real = mask.to(ScalarType.Bool), slots = arange(ids.size(1)).expand(ids.shape);          // [batch, seq]
            var ours = (Tensor)Forward(_model, ids, mask, null)["logits"]!;                                 // [batch, seq, vocab]
            var counting = (Tensor)_model.Root.Call(ids, mask, slots, null)["logits"]!;                     // [batch, seq, vocab]
            largest = Math.Min(Difference.Absolute(ours[real], left[real]), Difference.Absolute(counting[real], left[real]));
            if (_golden.Find("batch.right.logits") is { } alone)
                largest = Math.Max(largest.Value, Difference.Absolute(ours[0][real[0]], alone[0]));
        }
        if (_golden.Find("batch.right.logits") is { } right)
        {
            var ours = (Tensor)Forward(_model, _golden["batch.right.input_ids"], _golden["batch.right.attention_mask"], null)["logits"]!;
            largest = Math.Max(largest ?? 0, Difference.Absolute(ours.narrow(0, 0, 1).narrow(1, 0, right.size(1)), right));
        }
        return largest;
    }

    /// <summary>Greedy ids of one row and of the left-padded batch; the single row's logits count among the logits.</summary>
    private bool? CompareGreedy()
    {
        if (_golden.Find("generate.ids") is not { } expected) return null;
        Tensor ids = _golden["input_ids"]; // [1, seq]
        (Tensor single, Tensor logits) = GreedyDecoding.Run(_model, ids, ones_like(ids), (int)(expected.size(1) - ids.size(1)));
        bool same = single.Equals(expected);
        if (_golden.Find("generate.logits") is { } reference && same)
            _result.Logits = Math.Max(_result.Logits ?? 0, Difference.Absolute(logits, reference));
        if (_golden.Find("batch.left.generate.ids") is { } batch)
        {
            Tensor rows = _golden["batch.left.input_ids"]; // [batch, seq]
            int steps = (int)(batch.size(1) - rows.size(1));
            same &= GreedyDecoding.Run(_model, rows, _golden["batch.left.attention_mask"], steps).Ids.Equals(batch);
        }
        return same;
    }

    private bool? CompareTokenizer(Func<string, string, IReadOnlyList<int>> tokenize)
    {
        if (!_golden.Json.TryGetProperty("text_ids", out JsonElement ids)) return null;
        IReadOnlyList<int> ours = tokenize(_golden.Folder, Text(_golden.Json, "text"));
        return Same("the token ids", ours.Select(i => $"{i}"), ids.EnumerateArray().Select(i => $"{i}"));
    }

    internal static ModelOutput Forward(LoadedModel model, Tensor ids, Tensor mask, KeyValueCache? cache) =>
        model.Root.Call(ids, mask, GreedyDecoding.Positions(mask), cache);

    private bool Same(string what, IEnumerable<string> ours, IEnumerable<string> reference)
    {
        string[] mine = [.. ours], theirs = [.. reference];
        for (int i = 0; i < Math.Max(mine.Length, theirs.Length); i++)
        {
            string? a = i < mine.Length ? mine[i] : null, b = i < theirs.Length ? theirs[i] : null;
            if (a == b) continue;
            _problems.Add($"{what}: number {i} is `{a ?? "missing"}`, not `{b ?? "absent"}`");
            return false;
        }
        return true;
    }
}
