using System.CommandLine;
using System.Globalization;
using System.Text.Json;

namespace Ndif.Cli.Commands;

/// <summary>`ndif collect`: writes the activations of a model over a dataset to a folder.</summary>
internal static class CollectCommand
{
    private static readonly Argument<string> _dataset = new("dataset")
    {
        Description = "A .jsonl, .txt (a text on each line), .csv, .tsv or .parquet file.",
    };

    private static readonly Option<string[]> _sites = new("--site", "-s")
    {
        Description = "Value to collect, with an entry for each token: transformer.h.1.hidden. May be given several times.",
        Required = true,
    };

    private static readonly Option<string> _folder = new("--output", "-o")
    {
        Description = "Folder of the collection. If it has the beginning of the same collection, that is continued.",
        Required = true,
    };

    private static readonly Option<string> _model = new("--model", "-m")
    {
        Description = "Id, folder or GGUF file of the model, or its name on the service.",
        DefaultValueFactory = _ => "ndif/tiny-landmarks",
    };

    private static readonly Option<string> _column = new("--column")
    {
        Description = "Column of a .csv, .tsv or .parquet file, or property of the objects of a .jsonl file, that has the text.",
        DefaultValueFactory = _ => "text",
    };

    private static readonly Option<string?> _dtype = OneOf(new Option<string?>("--dtype")
    {
        Description = "Element type of the stored values: float32, bfloat16, float16. Default: the type in which the model computes them.",
    }, "float32", "bfloat16", "float16");

    private static readonly Option<string> _format = OneOf(new Option<string>("--format")
    {
        Description = "Format of the shards: safetensors, parquet. Parquet stores float32, rounded to --dtype.",
        DefaultValueFactory = _ => "safetensors",
    }, "safetensors", "parquet");

    private static readonly Option<int> _batchTokens = new("--batch-tokens")
    {
        Description = "Largest number of tokens of one forward pass, padding included.",
        DefaultValueFactory = _ => new CollectOptions().BatchTokens,
    };

    private static readonly Option<string> _shardSize = new("--shard-size")
    {
        Description = "Size at which a shard is complete: 128MiB, 1GB. It is held in memory.",
        DefaultValueFactory = _ => "128MiB",
    };

    private static readonly Option<bool> _skipFirst = new("--skip-first-token") { Description = "Leave out the first token of each text." };

    private static readonly Option<bool> _noSpecial = new("--no-special-tokens")
    {
        Description = "Do not add the special tokens that the model expects around a text.",
    };

    private static readonly Option<int?> _maxTokens = new("--max-tokens")
    {
        Description = "Largest number of tokens of a text. Default: the context length of the model.",
    };

    private static readonly Option<string> _longTexts = OneOf(new Option<string>("--long-texts")
    {
        Description = "What happens with texts that have more tokens: truncate, skip, refuse.",
        DefaultValueFactory = _ => "truncate",
    }, "truncate", "skip", "refuse");

    private static readonly Option<string> _invalidTexts = OneOf(new Option<string>("--invalid-texts")
    {
        Description = "What happens with texts that are not valid UTF-8: replace (what is not becomes U+FFFD), skip, refuse.",
        DefaultValueFactory = _ => "replace",
    }, "replace", "skip", "refuse");

    private static readonly Option<long?> _rows = new("--rows")
    {
        Description = "Stop after this number of rows, of one token each. Default: the whole dataset.",
    };

    private static readonly Option<bool> _remote = new("--remote")
    {
        Description = "Run on the configured service instead of in this process. --host implies it.",
    };

    private static readonly Option<string?> _host = CommonOptions.Host(), _key = CommonOptions.Key();

    private static readonly Option<bool> _json = CommonOptions.Json("The report");

    public static Command Create()
    {
        var command = new Command("collect", "Write the activations of a model over a dataset to a folder.")
        {
            _dataset, _sites, _folder, _model, _column, _dtype, _format, _batchTokens, _shardSize, _skipFirst, _noSpecial, _maxTokens,
            _longTexts, _invalidTexts, _rows, _remote, _host, _key, _json,
        };
        command.SetAction(RunAsync);
        return command;
    }

    private static Option<T> OneOf<T>(Option<T> option, params string[] values)
    {
        option.AcceptOnlyFromAmong(values);
        option.HelpName = option.Name.TrimStart('-');
        return option;
    }

    private static async Task<int> RunAsync(ParseResult parsed, CancellationToken cancellationToken)
    {
        Backend backend = parsed.GetValue(_remote) || parsed.GetValue(_host) is not null
            ? BackendFactory.GetRemoteBackend(parsed.GetValue(_host), parsed.GetValue(_key)) : Backend.Local;
        var model = new LanguageModel(parsed.GetValue(_model)!, remote: backend);
        TextDataset dataset = TextDataset.FromFile(parsed.GetValue(_dataset)!, parsed.GetValue(_column)!);
        var options = new CollectOptions
        {
            Dtype = parsed.GetValue(_dtype) is { } dtype ? Enum.Parse<DType>(dtype, ignoreCase: true) : null,
            Format = Enum.Parse<ShardFormat>(parsed.GetValue(_format)!, ignoreCase: true),
            BatchTokens = parsed.GetValue(_batchTokens),
            ShardBytes = MemorySize.Parse(_shardSize.Name, parsed.GetValue(_shardSize))!.Value,
            SkipFirstToken = parsed.GetValue(_skipFirst),
            AddSpecialTokens = !parsed.GetValue(_noSpecial),
            MaxTokens = parsed.GetValue(_maxTokens),
            LongTexts = Enum.Parse<LongTexts>(parsed.GetValue(_longTexts)!, ignoreCase: true),
            InvalidTexts = Enum.Parse<InvalidTexts>(parsed.GetValue(_invalidTexts)!, ignoreCase: true),
            MaxRows = parsed.GetValue(_rows),
        };
        string folder = parsed.GetValue(_folder)!;
        CollectReport report = await CollectProgressBar.RunAsync(progress => model.CollectAsync(
            dataset, parsed.GetValue(_sites)!, folder, options, backend, progress, cancellationToken));
        if (parsed.GetValue(_json)) Console.WriteLine(JsonSerializer.Serialize(report, JsonSerializerOptions.Web));
        else Print(report, folder);
        return 0;
    }

    private static void Print(CollectReport report, string folder)
    {
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"{report.Rows:N0} rows of {report.Texts:N0} texts in {report.Shards:N0} shards ({report.Bytes / 1e6:N1} MB): {folder}"));
        PrintCount(report.ResumedRows, "rows were there from earlier runs");
        PrintCount(report.EmptyTexts, "texts have no tokens");
        PrintCount(report.TruncatedTexts, "texts were truncated");
        PrintCount(report.SkippedTexts, "texts were left out");
        PrintCount(report.InvalidTexts, "texts are not valid UTF-8");
        PrintCount(report.Overflows, "elements are too large for float16 and infinite; use bfloat16");
    }

    private static void PrintCount(long count, string what)
    {
        if (count > 0) Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{count:N0} {what}"));
    }
}
