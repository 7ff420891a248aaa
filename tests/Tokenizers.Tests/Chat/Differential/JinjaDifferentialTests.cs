using System.Globalization;
using System.Text;
using System.Text.Json;
using Ndif.Tokenizers.Chat;

namespace Ndif.Tokenizers.Tests.Chat.Differential;

/// <summary>
/// Renders random templates here and with Jinja2: the texts are equal, or both refuse. NDIF_FUZZ is the number of templates, and
/// NDIF_FUZZ_SEED the first seed.
/// </summary>
public sealed class JinjaDifferentialTests(ITestOutputHelper output)
{
    [Fact]
    public void RandomTemplates_GiveWhatJinjaGives()
    {
        Assert.SkipWhen(JinjaOracle.Missing is not null, JinjaOracle.Missing ?? "");
        int count = ReadNumber("NDIF_FUZZ", 300), seed = ReadNumber("NDIF_FUZZ_SEED", 1);
        List<string> templates = [.. Enumerable.Range(seed, count).Select(RandomTemplateGenerator.Create)];
        Dictionary<string, object?> variables =
            DifferentialVariables.Values.EnumerateObject().ToDictionary(p => p.Name, p => (object?)p.Value);
        var answers = JinjaOracle.Render(new Dictionary<string,
            JsonElement> { [DifferentialVariables.Name] = DifferentialVariables.Values },
            templates.Select(template => (template, DifferentialVariables.Name)));
        Assert.Equal(count, answers.Count);
        long start = System.Diagnostics.Stopwatch.GetTimestamp();
        int texts = 0, errors = 0, refused = 0, addresses = 0, differences = 0;
        StringBuilder report = new();
        for (int i = 0; i < count; i++)
        {
            (string? text, string? error) = Render(templates[i], variables);
            OracleAnswer answer = answers[i];
            // Python prints an iterator or function with its address; here it is an error.
            if (text is null && answer.Text is not null && error!.Contains("cannot be printed", StringComparison.Ordinal)) addresses++;
            else if (answer.Text is null && text is null) errors++;
            else if (answer.Text == text) texts++;
            else if (text is null && error!.Contains("supported", StringComparison.Ordinal)) refused++;
            else
            {
                if (++differences <= 20)
                    report.AppendLine(CultureInfo.InvariantCulture,
                        $"seed {seed + i}: {templates[i]}\n  Jinja2: {answer.Text ?? answer.Error}\n  here:   {text ?? error}\n");
            }
        }
        string summary = $"{count} templates: {texts} equal texts, {errors} errors in both, {refused} refused by name, {addresses} that print an iterator or function, " +
            $"{differences} differences; {System.Diagnostics.Stopwatch.GetElapsedTime(start).TotalSeconds:0.0} s here";
        output.WriteLine(summary);
        Assert.True(differences == 0, summary + "\n" + report);
        Assert.True(texts > count / 3, summary);
    }

    private static int ReadNumber(string name, int defaultValue) =>
        int.TryParse(Environment.GetEnvironmentVariable(name), CultureInfo.InvariantCulture, out int number) ? number : defaultValue;

    private static (string? Text, string? Error) Render(string template, Dictionary<string, object?> variables)
    {
        try
        {
            return (new ChatTemplate(template).Render(variables, new FixedClock()), null);
        }
        catch (TokenizerFormatException e)
        {
            return (null, e.Message);
        }
    }
}
