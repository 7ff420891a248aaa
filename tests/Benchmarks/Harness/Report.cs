using System.Globalization;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace Ndif.Benchmarks.Harness;

/// <summary>Figures as JSON or as a table. A benchmark that failed has a row of its own, with the error in place of the value.</summary>
internal static class Report
{
    private static readonly JsonSerializerOptions _json = new()
    {
        WriteIndented = true,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    };

    public static string Json(IReadOnlyList<Measurement> figures, IReadOnlyList<BenchmarkFailure> failures) =>
        JsonSerializer.Serialize<object[]>(
    [
        .. figures.Select(f =>
            new { name = f.Name, value = f.Value, unit = f.Unit, limit = f.Baseline, goal = f.Goal?.ToString(), met = f.IsMet }),
        .. failures.Select(f =>
            new { name = f.Name, value = (double?)null, unit = "", limit = "", goal = (string?)null, met = false, error = f.Error }),
    ], _json);

    public static string Table(IReadOnlyList<Measurement> figures, IReadOnlyList<BenchmarkFailure> failures)
    {
        string[][] rows =
        [
            ["figure", "value", "goal", "met", "held against"],
            .. figures.Select(f => (string[])
            [
                f.Name, $"{f.Value.ToString("0.0###", CultureInfo.InvariantCulture)} {f.Unit}", f.Goal?.ToString() ?? "",
                f.IsMet switch { true => "yes", false => "NO", null => "" }, f.Baseline,
            ]),
            .. failures.Select(f => (string[])[f.Name, "FAILED", "", "NO", f.Error.ReplaceLineEndings(" ")]),
        ];
        int[] widths = [.. Enumerable.Range(0, 4).Select(column => rows.Max(row => row[column].Length))];
        return string.Join('\n', rows.Select(row =>
            string.Join("  ", row.Select((cell, column) => column < 4 ? cell.PadRight(widths[column]) : cell))));
    }
}
