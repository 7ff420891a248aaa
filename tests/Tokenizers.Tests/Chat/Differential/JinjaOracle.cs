using System.Diagnostics;
using System.Text.Json;

namespace Ndif.Tokenizers.Tests.Chat.Differential;

/// <summary>The output of Jinja2, or its error; exactly one is null.</summary>
public sealed record OracleAnswer(string? Text, string? Error);

/// <summary>Python with Jinja2, which renders many templates in one process.</summary>
public static class JinjaOracle
{
    private static readonly Lazy<string?> _missing = new(FindMissing);

    /// <summary>Why there is no oracle here, or null if there is one.</summary>
    public static string? Missing => _missing.Value;

    /// <summary>Renders templates, each with the variables of its context.</summary>
    public static IReadOnlyList<OracleAnswer> Render(
        IReadOnlyDictionary<string, JsonElement> contexts, IEnumerable<(string Template, string Context)> templates)
    {
        string script = Path.Combine(Path.GetTempPath(), $"jinja-oracle-{Guid.NewGuid():N}.py");
        using (var source = typeof(JinjaOracle).Assembly.GetManifestResourceStream("jinja_oracle.py")!)
        using (var file = File.Create(script)) source.CopyTo(file);
        try
        {
            using Process python = Start(script);
            Task<string> errors = python.StandardError.ReadToEndAsync();
            Task<string> output = python.StandardOutput.ReadToEndAsync();
            python.StandardInput.WriteLine(JsonSerializer.Serialize(new { contexts }));
            foreach (var (template, context) in templates) python.StandardInput.WriteLine(
                JsonSerializer.Serialize(new { template, context }));
            python.StandardInput.Close();
            python.WaitForExit();
            Assert.True(python.ExitCode == 0, errors.Result);
            return [.. output.Result.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(Parse)];
        }
        finally
        {
            File.Delete(script);
        }
    }

    private static OracleAnswer Parse(string line)
    {
        JsonElement answer = JsonDocument.Parse(line).RootElement;
        return new OracleAnswer(
            answer.TryGetProperty("text", out var text) ? text.GetString() : null, answer.TryGetProperty("error", out var error)
                ? error.GetString() : null);
    }

    private static string? FindMissing()
    {
        try
        {
            using Process python = Start("-c", "import jinja2");
            python.StandardInput.Close();
            string error = python.StandardError.ReadToEnd();
            python.WaitForExit();
            return python.ExitCode == 0 ? null : $"python3 has no jinja2 (python3-jinja2): {error}";
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return "python3 is not installed";
        }
    }

    private static Process Start(params string[] arguments)
    {
        ProcessStartInfo start = new("python3", arguments)
        {
            RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true,
            StandardInputEncoding = new System.Text.UTF8Encoding(false), StandardOutputEncoding = System.Text.Encoding.UTF8,
        };
        start.Environment["PYTHONIOENCODING"] = "utf-8";
        return Process.Start(start)!;
    }
}
