<?php
/**
 * Installs and fills WordPress from the command line, without any download.
 *
 * php install.php install FOLDER   creates the tables and the administrator
 * php install.php fill FOLDER      creates users, pictures and posts that are not there yet
 *
 * Both may run again. The administrator's password and the users' passwords and markers are
 * read from and written to FOLDER/accounts.json.
 */

const USERS    = 50;
const POSTS    = 50;
const PICTURES = 10;
const ROLES    = array( 'editor', 'author', 'subscriber' );

[ , $step, $folder ] = $argv + array( '', '', '' );
if ( ! in_array( $step, array( 'install', 'fill' ), true ) || ! is_dir( "$folder/wordpress" ) ) {
	fwrite( STDERR, "usage: php install.php install|fill FOLDER\n" );
	exit( 2 );
}
if ( 'install' === $step ) {
	define( 'WP_INSTALLING', true );
}
$_SERVER += array(
	'HTTP_HOST'       => 'localhost',
	'REQUEST_METHOD'  => 'GET',
	'REQUEST_URI'     => '/',
	'SERVER_PROTOCOL' => 'HTTP/1.1',
	'REMOTE_ADDR'     => '127.0.0.1',
);
require "$folder/wordpress/wp-load.php";
require_once ABSPATH . 'wp-admin/includes/upgrade.php';
require_once ABSPATH . 'wp-admin/includes/image.php';

$accounts = is_file( "$folder/accounts.json" ) ? json_decode( file_get_contents( "$folder/accounts.json" ), true ) : array();
'install' === $step ? install( $accounts ) : fill( $accounts );

umask( 0077 );
file_put_contents( "$folder/accounts.json", json_encode( $accounts, JSON_PRETTY_PRINT | JSON_UNESCAPED_SLASHES ) . "\n" );

/** Stops with WordPress' own words when a step failed. */
function must( $result, string $what ) {
	if ( is_wp_error( $result ) ) {
		fwrite( STDERR, "$what: " . $result->get_error_message() . "\n" );
		exit( 1 );
	}
	return $result;
}

/** Tables and administrator. */
function install( array &$accounts ): void {
	if ( is_blog_installed() ) {
		return;
	}
	$accounts = array( array( 'name' => 'admin', 'password' => secret( 8 ), 'marker' => '', 'role' => 'administrator' ) );
	wp_install( 'The Tentpole Theatre', 'admin', 'admin@example.org', false, '', $accounts[0]['password'] );
}

/** Everything a visitor sees. */
function fill( array &$accounts ): void {
	wp_set_current_user( 1 );
	settings();
	users( $accounts );
	$pictures = pictures();
	posts( $pictures );
}

function settings(): void {
	update_option( 'blogdescription', 'Fifty evenings, one stage' );
	update_option( 'show_avatars', 0 ); // They would come from gravatar.com.
	update_option( 'posts_per_page', 10 );
	update_option( 'comment_moderation', 0 );
	update_option( 'comment_previously_approved', 0 );
	if ( '/%postname%/' !== get_option( 'permalink_structure' ) ) {
		update_option( 'permalink_structure', '/%postname%/' );
		delete_option( 'rewrite_rules' ); // The next request writes them, with all that it knows; this one started without.
	}
	wp_delete_post( 1, true ); // "Hello world!"

	// The editor's welcome shows pictures from s.w.org.
	global $wpdb;
	update_user_meta(
		1,
		$wpdb->get_blog_prefix() . 'persisted_preferences',
		array( 'core/edit-post' => array( 'welcomeGuide' => false ), '_modified' => gmdate( 'c' ) )
	);
}

/**
 * user1 … user50. The name that WordPress shows to each of them is a marker that no other page carries,
 * so a page that shows somebody else's marker has leaked. They write no posts: an author's name is public.
 */
function users( array &$accounts ): void {
	$known = array_column( $accounts, null, 'name' );
	for ( $i = 1; $i <= USERS; $i++ ) {
		$name = "user$i";
		$id   = username_exists( $name );
		if ( $id && isset( $known[ $name ] ) ) {
			continue;
		}
		$account = array(
			'name'     => $name,
			'password' => secret( 8 ),
			'marker'   => "marker-$name-" . secret( 5 ),
			'role'     => ROLES[ $i % count( ROLES ) ],
		);
		$user    = array(
			'user_login'   => $name,
			'user_pass'    => $account['password'],
			'user_email'   => "$name@example.org",
			'nickname'     => $account['marker'],
			'display_name' => $account['marker'],
			'role'         => $account['role'],
		);
		if ( $id ) {
			$user['ID'] = $id;
		}
		must( $id ? wp_update_user( $user ) : wp_insert_user( $user ), $name );
		$known[ $name ] = $account;
	}
	$accounts = array_values( $known );
}

/** Drawn here, so that none has to be shipped. Returns the attachments' numbers. */
function pictures(): array {
	$made = array();
	for ( $i = 1; $i <= PICTURES; $i++ ) {
		$slug  = "stage-$i";
		$there = get_posts( array( 'post_type' => 'attachment', 'name' => $slug, 'numberposts' => 1, 'fields' => 'ids' ) );
		if ( $there ) {
			$made[] = $there[0];
			continue;
		}
		$file = must_upload( "$slug.jpg", drawing( $i ) );
		$id   = must(
			wp_insert_attachment(
				array( 'post_title' => "Stage $i", 'post_name' => $slug, 'post_mime_type' => 'image/jpeg', 'post_status' => 'inherit' ),
				$file,
				0,
				true
			),
			$slug
		);
		wp_update_attachment_metadata( $id, wp_generate_attachment_metadata( $id, $file ) );
		update_post_meta( $id, '_wp_attachment_image_alt', "A stage, drawing $i" );
		$made[] = $id;
	}
	return $made;
}

function must_upload( string $name, string $bytes ): string {
	$upload = wp_upload_bits( $name, null, $bytes );
	if ( $upload['error'] ) {
		fwrite( STDERR, "$name: {$upload['error']}\n" );
		exit( 1 );
	}
	return $upload['file'];
}

/** A stage with two curtains and a light, 1200 × 800, coloured by its number. */
function drawing( int $number ): string {
	[ $wide, $high ] = array( 1200, 800 );
	$image = imagecreatetruecolor( $wide, $high );
	for ( $y = 0; $y < $high; $y++ ) {
		$shade = (int) ( 160 * $y / $high );
		imageline( $image, 0, $y, $wide, $y, imagecolorallocate( $image, ( 23 * $number + $shade ) % 200, ( 71 * $number ) % 120, 60 + $shade / 2 ) );
	}
	$curtain = imagecolorallocate( $image, 150, 20 + 8 * $number, 40 );
	$light   = imagecolorallocatealpha( $image, 255, 240, 190, 70 );
	for ( $fold = 0; $fold < 8; $fold++ ) {
		imagefilledellipse( $image, 40 * $fold, 300, 46, 1100 - 40 * $fold, $curtain );
		imagefilledellipse( $image, $wide - 40 * $fold, 300, 46, 1100 - 40 * $fold, $curtain );
	}
	$middle = 350 + 50 * $number;
	imagefilledpolygon( $image, array( $middle, 0, $middle - 220, 720, $middle + 220, 720 ), $light );
	imagefilledellipse( $image, $middle, 720, 440, 90, $light );
	ob_start();
	imagejpeg( $image, null, 85 );
	return ob_get_clean();
}

/** One post an evening: a featured picture on each, a second one in the text of every third. */
function posts( array $pictures ): void {
	mt_srand( 50 );
	for ( $i = 1; $i <= POSTS; $i++ ) {
		$text = story( $i, $pictures );
		$slug = "evening-$i";
		if ( get_page_by_path( $slug, OBJECT, 'post' ) ) {
			continue;
		}
		$when = gmdate( 'Y-m-d H:i:s', time() - ( POSTS - $i + 1 ) * DAY_IN_SECONDS );
		$id   = must(
			wp_insert_post(
				array(
					'post_title'    => "Evening $i on the big stage",
					'post_name'     => $slug,
					'post_content'  => $text,
					'post_status'   => 'publish',
					'post_author'   => 1,
					'post_date'     => $when,
					'post_date_gmt' => $when,
					'tags_input'    => array( array( 'premiere', 'matinee', 'gala' )[ $i % 3 ] ),
				),
				true
			),
			$slug
		);
		set_post_thumbnail( $id, $pictures[ $i % count( $pictures ) ] );
		if ( 0 === $i % 5 ) {
			wp_insert_comment( array( 'comment_post_ID' => $id, 'comment_author' => 'A guest', 'comment_author_email' => 'guest@example.org', 'comment_content' => 'Two rows from the front. I would come again.', 'comment_approved' => 1 ) );
		}
	}
}

/** Three to seven paragraphs; the same for the same post on every machine. */
function story( int $number, array $pictures ): string {
	$sentences = array(
		'The queue reached around the corner an hour before the doors.',
		'Half of the hall had bought its tickets on the way in.',
		'When the light went down, four hundred telephones went dark with it.',
		'The second act began late because nobody wanted to leave the bar.',
		'There were three encores, and the third was not planned.',
		'Somebody in row nine knew every line by heart.',
		'The orchestra was hidden, and then it was not.',
		'We counted eleven people who came for the second time.',
		'The set was built from what was left of last year.',
		'It rained on the roof, exactly when it should.',
		'The last tram waited for us.',
		'Next week the same room will hold a vote.',
	);
	$blocks = array();
	for ( $p = 0, $last = mt_rand( 3, 7 ); $p < $last; $p++ ) {
		$words = array();
		for ( $s = 0; $s < 5; $s++ ) {
			$words[] = $sentences[ mt_rand( 0, count( $sentences ) - 1 ) ];
		}
		$blocks[] = "<!-- wp:paragraph -->\n<p>" . implode( ' ', $words ) . "</p>\n<!-- /wp:paragraph -->";
	}
	if ( 0 === $number % 3 ) {
		$id  = $pictures[ ( $number + 4 ) % count( $pictures ) ];
		$src = wp_make_link_relative( wp_get_attachment_image_url( $id, 'large' ) ); // Stays right when the address changes.
		array_splice( $blocks, 1, 0, "<!-- wp:image {\"id\":$id,\"sizeSlug\":\"large\"} -->\n<figure class=\"wp-block-image size-large\"><img src=\"$src\" alt=\"A stage\" class=\"wp-image-$id\"/></figure>\n<!-- /wp:image -->" );
	}
	return implode( "\n\n", $blocks );
}

function secret( int $bytes ): string {
	return bin2hex( random_bytes( $bytes ) );
}
