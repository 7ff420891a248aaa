using Ndif.Activations;
using Ndif.Protocol;

namespace Ndif;

/// <summary>
/// Texts, or rows of token ids, that are read in order. A file is read piece by piece, whatever its size. The number of a text is that of
/// its record in the dataset, from 0.
/// </summary>
public abstract class TextDataset
{
    private protected TextDataset() { }

    /// <summary>
    /// The texts of a file: <c>.jsonl</c> (an object on each line; a column of token ids is an array of numbers), <c>.txt</c> (a text on
    /// each line), <c>.csv</c> and <c>.tsv</c> (with the names of the columns in the first record), or <c>.parquet</c>.
    /// </summary>
    /// <param name="path">The file.</param>
    /// <param name="column">The column, or the property of the objects, that has the text. A .txt file has none.</param>
    /// <exception cref="NdifException">BAD_INPUT: there is no such file. BAD_ARGUMENT: the format is not known.</exception>
    public static TextDataset FromFile(string path, string column = "text")
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        ArgumentException.ThrowIfNullOrEmpty(column);
        if (!File.Exists(path)) throw Errors.CreateException(ErrorCode.BadInput, $"The dataset {path} does not exist.");
        return Path.GetExtension(path).ToLowerInvariant() switch
        {
            ".jsonl" or ".ndjson" => new JsonLinesDataset(path, column),
            ".txt" => new LinesDataset(path),
            ".csv" => new CsvDataset(path, column, ','),
            ".tsv" => new CsvDataset(path, column, '\t'),
            ".parquet" => new ParquetDataset(path, column),
            var other => throw Errors.CreateException(ErrorCode.BadArgument, $"The dataset {path} has the unknown format `{other}`.",
                "It must be a .jsonl, .txt, .csv, .tsv or .parquet file."),
        };
    }

    /// <summary>Texts in memory, or ones that are made on the fly. They are enumerated twice, and must be the same each time.</summary>
    public static TextDataset FromTexts(IEnumerable<string> texts) =>
        new InMemoryDataset(texts.Select(text => new DatasetRecord(text)));

    /// <summary>Rows of token ids, for a model without a tokenizer. They are enumerated twice, and must be the same each time.</summary>
    public static TextDataset FromTokens(IEnumerable<IEnumerable<int>> rows) =>
        new InMemoryDataset(rows.Select(row => new DatasetRecord([.. row])));

    /// <summary>The file of this path; see <see cref="FromFile"/>.</summary>
    public static implicit operator TextDataset(string path) => FromFile(path);

    /// <summary>Texts in memory; see <see cref="FromTexts"/>.</summary>
    public static implicit operator TextDataset(string[] texts) => FromTexts(texts);

    /// <summary>The name of the dataset in the manifest.</summary>
    internal abstract string Name { get; }

    /// <summary>The column; empty if it has none.</summary>
    internal virtual string Column => "";

    /// <summary>The SHA-256 of the content in lower-case hexadecimal.</summary>
    internal abstract Task<string> HashAsync(CancellationToken cancellationToken);

    /// <summary>Reads the records from a position on.</summary>
    internal abstract IAsyncEnumerable<DatasetRecord> ReadAsync(DatasetPosition from, CancellationToken cancellationToken);

    /// <summary>The part of the dataset before a position, from 0 to 1; 0 where the size is not known.</summary>
    internal abstract double FractionBefore(DatasetPosition position);
}
