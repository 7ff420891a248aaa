using System.Globalization;
using Ndif.Protocol;

namespace Ndif.Workbench.Sessions;

/// <summary>A failure as the pages show it.</summary>
/// <param name="Title">What happened, in a few words.</param>
/// <param name="Text">The details.</param>
/// <param name="Hint">What to do; may be empty.</param>
/// <param name="Code">The error code; null for a problem that the page found itself.</param>
public sealed record Problem(string Title, string Text, string Hint, ErrorCode? Code = null)
{
    /// <summary>Whether another key may help.</summary>
    public bool NeedsKey => Code is ErrorCode.Unauthenticated;

    /// <summary>A wrong input, which the page found before it asked the service.</summary>
    public static Problem OfInput(string text, string hint = "") => new("Check the input", text, hint);

    /// <summary>A gateway that accepts connections and does not answer.</summary>
    public static Problem NoAnswer(string gateway, TimeSpan time) => new("The gateway does not answer",
        string.Create(CultureInfo.InvariantCulture, $"{gateway} did not answer within {time.TotalSeconds:0} seconds."),
        "The page asks again every two seconds.", ErrorCode.Unavailable);

    /// <summary>A key that other browsers use.</summary>
    public static Problem TooManySessions() => new($"This key is in use in {SessionStore.MaxSessionsPerKey} other browsers",
        "The workbench holds no more sessions with one key.",
        $"Forget the key in one of them. A session ends {SessionStore.IdleTime.TotalHours:0} hours after a page was last loaded with it.");

    /// <summary>Describes the failure of a call or a run.</summary>
    public static Problem From(Exception e, WorkbenchSession session)
    {
        if (e is InputException input) return input.Problem;
        if (e is not NdifException { Error: { } error }) return new Problem("The run failed", e.Message, "");
        string title = error.Code switch
        {
            ErrorCode.Unauthenticated => session.HasKey ? "The service does not accept this key" : "This service needs a key",
            ErrorCode.PermissionDenied => "This key may not do that",
            ErrorCode.UnknownModel => "The service does not know this model",
            ErrorCode.Unavailable => "The gateway cannot be reached",
            ErrorCode.QuotaExceeded => "The key has reached a limit of the service",
            ErrorCode.LimitExceeded => "The experiment is larger than the service allows",
            ErrorCode.JobCancelled => "The job was cancelled",
            ErrorCode.JobTimeout => "The job ran too long",
            ErrorCode.UnknownModule => "This model has no such module",
            ErrorCode.BadInput => "The model cannot run on this input",
            _ => $"The run failed ({FormatCode(error.Code)})",
        };
        return new Problem(title, error.Message, error.Hint, error.Code);
    }

    private static string FormatCode(ErrorCode code) => string.Concat(code.ToString()
        .Select((letter, i) => i > 0 && char.IsUpper(letter) ? $" {char.ToLowerInvariant(letter)}" : $"{char.ToLowerInvariant(letter)}"));
}
