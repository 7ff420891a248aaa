using System.Globalization;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using Ndif.Workbench.Assets;

namespace Ndif.Workbench.Experiments;

/// <summary>
/// The C# program that a page shows. Its body is the source of the experiment between the lines `// program` and `// end`, which is the
/// code that this process runs. What lies between two such parts only shows the progress on the page.
/// </summary>
internal static class ProgramText
{
    private static readonly JsonSerializerOptions _literals = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>Writes a program that `dotnet run file.cs` runs.</summary>
    /// <param name="experiment">The class of the experiment.</param>
    /// <param name="model">The name of the model.</param>
    /// <param name="inputs">The parameters of the experiment and their values: string, string[], int or double.</param>
    /// <param name="output">The last lines, which show the result.</param>
    public static string Create(string experiment, string model, IEnumerable<(string Name, object Value)> inputs, string output)
    {
        var text = new StringBuilder();
        text.Append("#:package Ndif.Plots@0.1.0\n");
        text.Append("// `dotnet run` of this file runs it on the service that NDIF_HOST and NDIF_API_KEY name.\n");
        text.Append("using Ndif;\n\n");
        text.Append("CancellationToken cancellationToken = default;\n");
        text.Append(CultureInfo.InvariantCulture, $"var llm = new LanguageModel({Format(model)}, remote: true);\n");
        foreach ((string name, object value) in inputs)
            text.Append(CultureInfo.InvariantCulture, $"{FormatType(value)} {name} = {Format(value)};\n");
        text.Append('\n').Append(ReadBody(EmbeddedAssets.ReadText($"{experiment}.cs"))).Append('\n').Append(output.Trim()).Append('\n');
        return text.ToString();
    }

    /// <summary>The lines of the parts, without the indentation of the method.</summary>
    private static string ReadBody(string source)
    {
        const string Indentation = "        ";
        var body = new StringBuilder();
        bool isInside = false;
        foreach (string line in source.ReplaceLineEndings("\n").Split('\n'))
        {
            string trimmed = line.Trim();
            if (trimmed is "// program" or "// end") isInside = trimmed == "// program";
            else if (isInside)
                body.Append(line.StartsWith(Indentation, StringComparison.Ordinal) ? line[Indentation.Length..] : line).Append('\n');
        }
        return body.ToString();
    }

    private static string FormatType(object value) => value switch
    {
        string => "string", string[] => "string[]", int => "int", double => "double",
        _ => throw new ArgumentException($"A program has no literal of {value.GetType().Name}.", nameof(value)),
    };

    private static string Format(object value) => value switch
    {
        // a JSON string is a C# string, except for the line ends of Unicode
        string text => JsonSerializer.Serialize(text, _literals).Replace("\u2028", "\\u2028", StringComparison.Ordinal)
            .Replace("\u2029", "\\u2029", StringComparison.Ordinal).Replace("\u0085", "\\u0085", StringComparison.Ordinal),
        string[] texts => $"[{string.Join(", ", texts.Select(Format))}]",
        double number => number.ToString("0.0###########", CultureInfo.InvariantCulture),
        _ => string.Create(CultureInfo.InvariantCulture, $"{value}"),
    };
}
